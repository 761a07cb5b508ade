package errtrack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/errtrack/bundle"
	"manus/errtrack/event"
	"manus/errtrack/sourcemap"
	"manus/language"
)

// Bounds of what is done to map an event's frames.
const (
	mapsOfEvent  = 8   // that are looked for
	framesMapped = 100 // the innermost
	contextLines = 5   // before a line, and after it
	mapWithin    = 2 * time.Second
	// linesWithin is how long lines may be looked up in sources: these have megabytes.
	linesWithin = 50 * time.Millisecond
	// mapBelievedFor is how long it is believed which map a file has.
	mapBelievedFor = time.Minute
	maxMappedText  = 512 // characters of a name
)

// mapper maps an event's frames file by file, for as long as its time lasts: it holds one map at a
// time.
type mapper struct {
	s       *Service
	project string
	e       *event.Event
	lines   time.Duration // that lines may still be looked up
	// show has why frames aren't mapped told, in a language. received is when the event came.
	show     bool
	tag      language.Tag
	received time.Time
}

// mapFrames says of an event's frames of built JavaScript where in the program's sources they
// are, as far as that is known. What can't be read now leaves them as they are.
func (s *Service) mapFrames(ctx context.Context, project string, e *event.Event) {
	if !isJavaScript(e.Platform) || !s.hasMaps(ctx, project) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, mapWithin)
	defer cancel()
	m := &mapper{s: s, project: project, e: e}
	m.all(ctx)
}

// mapShown maps the frames of an event that weren't mapped when it came, and says of each that
// can't be why. ctx bounds it.
func (s *Service) mapShown(ctx context.Context, k *Kept) {
	if !isJavaScript(k.Platform) {
		return
	}
	m := &mapper{s: s, project: k.ProjectID, e: &k.Event, show: true, tag: language.From(ctx), received: k.ReceivedAt.Time}
	if m.all(ctx); m.late() {
		s.policy.Load().scrubber.Scrub(&k.Event)
	}
}

// isJavaScript tells whether a platform's code may be built from something else.
func isJavaScript(platform string) bool { return platform == "javascript" || platform == "node" }

func (m *mapper) stacks() [][]event.Frame {
	stacks := [][]event.Frame{m.e.Stack}
	for _, x := range slices.Backward(m.e.Exceptions) {
		stacks = append(stacks, x.Frames)
	}
	return stacks
}

// late tells whether a frame was mapped that had not been when its event came.
func (m *mapper) late() bool {
	for _, frames := range m.stacks() {
		if slices.ContainsFunc(frames, func(f event.Frame) bool { return f.SourceMap != nil && f.SourceMap.Late }) {
			return true
		}
	}
	return false
}

// mapped is where a frame is in the sources, or why that isn't known.
type mapped struct {
	frame *event.Frame
	// constructs tells whether what it calls stands behind "new".
	constructs bool
	at         sourcemap.Position
	ok         bool
	why        language.Text
	// call is how the function is called that the frame calls.
	call     string
	uploaded time.Time // its map
	// lines are those of the source about the frame, and line which of them it is at.
	lines []string
	line  int
}

func (m *mapper) all(ctx context.Context) {
	m.lines = linesWithin
	var stacks [][]mapped
	var files []string
	frames, byFile := 0, map[string][]*mapped{}
	for _, stack := range m.stacks() {
		all := make([]mapped, len(stack))
		for i := range slices.Backward(stack) { // the innermost first
			one := &all[i]
			one.frame = &stack[i]
			one.constructs = i+1 < len(stack) && strings.HasPrefix(stack[i+1].Function, "new ")
			frames++
			file := ""
			if file, one.why = builtFile(one.frame); file == "" || one.frame.SourceMap != nil { // or it was mapped when the event came
				continue
			}
			if frames > framesMapped || len(files) == mapsOfEvent && byFile[file] == nil {
				one.why = whyMany
				continue
			}
			if byFile[file] == nil {
				files = append(files, file)
			}
			byFile[file] = append(byFile[file], one)
		}
		stacks = append(stacks, all)
	}
	for _, file := range files {
		m.file(ctx, file, byFile[file])
	}
	for _, all := range stacks {
		m.apply(all)
	}
}

// builtFile is the file that a frame is in, or why it has none that can have a map.
func builtFile(f *event.Frame) (string, language.Text) {
	file := cmp.Or(f.AbsPath, f.Filename)
	switch {
	case file == "" || file == "<anonymous>" || file == "native" || strings.HasPrefix(file, "node:") || strings.HasPrefix(file, "["):
		return "", whyEngine
	case f.Line == 0 || f.Column == 0:
		return "", whyNowhere
	}
	return file, language.Text{}
}

// file finds where a file's frames are.
func (m *mapper) file(ctx context.Context, file string, frames []*mapped) {
	at, none := m.find(ctx, frames[0].frame, file)
	if at.artifact != "" {
		none = whyUnread(m.s.maps.use(ctx, m.project, at.artifact,
			func(ctx context.Context) (*sourcemap.Map, error) { return m.s.readMap(ctx, at.artifact) },
			func(by *sourcemap.Map) {
				for _, one := range frames {
					m.place(by, one)
				}
			}))
	}
	for _, one := range frames {
		one.uploaded = at.uploaded
		if !one.ok {
			one.why = cmp.Or(none, one.why)
		}
	}
}

// place finds where a frame is by its file's map.
func (m *mapper) place(by *sourcemap.Map, one *mapped) {
	f := one.frame
	if one.at, one.ok = by.Lookup(f.Line, f.Column); !one.ok || one.at.Source == "" {
		one.ok, one.why = false, why("The source map says nothing of line %d, column %d.", "لا تذكر خريطة المصدر شيئًا عن السطر %d، العمود %d.", f.Line, f.Column)
		return
	}
	column := f.Column
	if one.constructs {
		column += len("new ")
	}
	one.call = called(by, f.Line, column)
	m.addLines(one, by)
}

// apply has the frames of a stack be where they were found, or say why that isn't known.
func (m *mapper) apply(all []mapped) {
	for i := range slices.Backward(all) {
		switch one := &all[i]; {
		case one.ok && i > 0:
			m.move(one, all[i-1].call)
		case one.ok:
			m.move(one, "")
		case m.show && one.frame.SourceMap == nil && (one.why != whyNone || !isReadable(one.frame)):
			one.frame.SourceMap = &event.SourceMap{Why: one.why.In(m.tag)}
		}
	}
}

// maxReadable is how many characters a line of source has that people have written. {snip} is
// what Sentry's SDKs write for the rest of a longer one.
const maxReadable = 300

// isReadable tells whether a frame has lines of its file, and these aren't a build's.
func isReadable(f *event.Frame) bool {
	return len(f.Context) > 0 && !slices.ContainsFunc(f.Context, func(line string) bool { return len(line) > maxReadable || strings.Contains(line, "{snip}") })
}

// called is the name of what is called at a place of a built file; empty where the build
// hasn't renamed it, or the map has no word that begins there.
func called(m *sourcemap.Map, line, column int) string {
	at, ok := m.Lookup(line, column)
	before, is := m.Lookup(line, column-1)
	if !ok || is && before == at {
		return ""
	}
	return at.Name
}

// move has a frame be where its map says; name is how its caller calls its function, if that
// is known.
func (m *mapper) move(by *mapped, name string) {
	f, at := by.frame, by.at
	f.SourceMap = &event.SourceMap{Minified: &event.Place{Filename: f.Filename, AbsPath: f.AbsPath, Function: f.Function, Line: f.Line, Column: f.Column}}
	if m.show {
		f.SourceMap.Late = true
		f.SourceMap.Why = whyLate.In(m.tag)
		if by.uploaded.After(m.received) {
			f.SourceMap.Why = whyLater.In(m.tag)
		}
	}
	f.Module, f.Filename, f.AbsPath = "", language.Cut(cmp.Or(sourcemap.Filename(at.Source), at.Source), maxMappedText), language.Cut(at.Source, maxMappedText)
	f.Line, f.Column, f.Function = at.Line, at.Column, functionOf(f.Function, language.Cut(name, maxMappedText))
	f.Context, f.ContextLine = by.lines, by.line
	f.InApp = f.InApp && !isLibrary(at.Source)
}

// addLines adds the lines of the source about a frame, as long as there is time.
func (m *mapper) addLines(one *mapped, by *sourcemap.Map) {
	if m.lines <= 0 {
		return
	}
	start := time.Now()
	if before, line, after, ok := by.Context(one.at.Source, one.at.Line, contextLines); ok {
		one.line = len(before)
		one.lines = append(append(before, line), after...)
	}
	m.lines -= time.Since(start)
}

// functionOf is how a function is called: as its caller knows it, or as the engine does, unless
// that is a name that the build has given.
func functionOf(engine, name string) string {
	engine, _, _ = strings.Cut(engine, " [as ")
	keyword := ""
	for _, word := range []string{"new ", "async "} {
		if strings.HasPrefix(engine, word) {
			keyword = word
		}
	}
	receiver := strings.TrimPrefix(engine, keyword)
	own := receiver[strings.LastIndexAny(receiver, " .")+1:]
	receiver = strings.TrimSuffix(receiver, own)
	switch {
	case name != "":
		return keyword + name
	case len(own) <= renamedLength:
		return ""
	case len(receiver) <= renamedLength+len("."):
		return keyword + own
	}
	return keyword + receiver + own
}

// renamedLength is how long a name is at most that says nothing: builds give such.
const renamedLength = 2

// isLibrary tells whether a source isn't the program's own.
func isLibrary(source string) bool {
	return strings.Contains(source, "/node_modules/") || strings.HasPrefix(source, "node_modules/") || strings.Contains(source, "webpack/bootstrap") || strings.Contains(source, "webpack/runtime")
}

// find finds where a file's source map is kept, by the debug id that the event says it has, or else
// by the release and where it is served; or why it isn't known.
func (m *mapper) find(ctx context.Context, f *event.Frame, file string) (location, language.Text) {
	if ctx.Err() != nil {
		return location{}, whyLong
	}
	if !m.s.hasMaps(ctx, m.project) {
		return location{}, whyNone
	}
	id := ""
	for _, image := range m.e.Images {
		if image.Type == "sourcemap" && image.DebugID != "" && (sameFile(image.CodeFile, f.AbsPath) || sameFile(image.CodeFile, f.Filename)) {
			id = image.DebugID
		}
	}
	at, err := m.s.locate(ctx, m.project, id, m.e.Release, m.e.Dist, file)
	switch {
	case ctx.Err() != nil:
		return location{}, whyLong
	case err != nil:
		return location{}, whyAway
	case at.artifact == "" && id != "":
		return at, why("No source map with the debug id %s has been uploaded to this project.", "لم تُرفع إلى هذا المشروع خريطة مصدر بمعرّف التنقيح %s.", dashed(id))
	case at.artifact == "" && m.e.Release == "":
		return at, whyUnnamed
	case at.artifact == "":
		return at, why("The event has no debug id of this file, and no source map of this address has been uploaded for the release %s.", "ليس في الحدث معرّف تنقيح لهذا الملف، ولم تُرفع خريطة مصدر لهذا العنوان مع الإصدار %s.", m.e.Release)
	}
	return at, language.Text{}
}

// whyUnread is why a map can't be used.
func whyUnread(err error) language.Text {
	switch {
	case err == nil:
		return language.Text{}
	case lastingFault(err):
		return why("The source map that was uploaded can't be read: %s.", "تعذّرت قراءة خريطة المصدر المرفوعة: %s.", err)
	case errors.Is(err, errMapsWait) || errors.Is(err, context.DeadlineExceeded):
		return whyLong
	}
	return whyAway
}

// lastingFault tells whether a source map can never be read.
func lastingFault(err error) bool {
	return errors.Is(err, sourcemap.ErrMalformed) || errors.Is(err, sourcemap.ErrTooLarge) || errors.Is(err, docstore.ErrCorrupt)
}

// Why a frame isn't mapped, or late.
var (
	whyNone    = language.Text{En: "No source map has been uploaded to this project.", Ar: "لم تُرفع أي خريطة مصدر إلى هذا المشروع."}
	whyUnnamed = language.Text{En: "The event has no debug id of this file, and no release: run 'sentry-cli sourcemaps inject' before the files are deployed.", Ar: "ليس في الحدث معرّف تنقيح لهذا الملف ولا إصدار: شغّل sentry-cli sourcemaps inject قبل نشر الملفات."}
	whyEngine  = language.Text{En: "It is the JavaScript engine's own code.", Ar: "هذا من شيفرة محرّك JavaScript نفسه."}
	whyNowhere = language.Text{En: "The event doesn't say at which line and column it is.", Ar: "لا يذكر الحدث السطر والعمود."}
	whyMany    = language.Text{En: "The event has more frames, or files, than are mapped of one.", Ar: "في الحدث من الإطارات أو الملفات أكثر مما يُربط بالمصدر في حدث واحد."}
	whyLong    = language.Text{En: "Reading the source maps took too long; look again in a moment.", Ar: "استغرقت قراءة خرائط المصدر وقتًا طويلًا؛ انظر مرّة أخرى بعد لحظة."}
	whyAway    = language.Text{En: "The source maps can't be reached just now.", Ar: "تعذّر الوصول إلى خرائط المصدر الآن."}
	whyLater   = language.Text{En: "The source map was uploaded after the event: it is mapped as it is shown, and was grouped without.", Ar: "رُفعت خريطة المصدر بعد الحدث: يُربط بالمصدر عند عرضه، وجُمِّع بدونها."}
	whyLate    = language.Text{En: "It couldn't be mapped when the event came: it is mapped as it is shown, and was grouped without.", Ar: "تعذّر ربطه بالمصدر عند وصول الحدث: يُربط به عند عرضه، وجُمِّع بدونه."}
)

// why is a text with values in it.
func why(en, ar string, values ...any) language.Text {
	isolated := make([]any, len(values))
	for i, v := range values {
		if isolated[i] = v; fmt.Sprintf("%T", v) != "int" {
			isolated[i] = language.Arabic.Isolate(fmt.Sprint(v))
		}
	}
	return language.Text{En: fmt.Sprintf(en, values...), Ar: fmt.Sprintf(ar, isolated...)}
}

// dashed is a debug id as sentry-cli shows it.
func dashed(id string) string {
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}

// sameFile tells whether two names are of one file: Node has paths for it, and URLs.
func sameFile(a, b string) bool {
	return a != "" && (a == b || strings.TrimPrefix(a, "file://") == strings.TrimPrefix(b, "file://"))
}

// hasMaps tells whether a project has source maps, as it was a moment ago. Where that isn't
// known it has none.
func (s *Service) hasMaps(ctx context.Context, project string) bool {
	has, err := s.mapped.Load(project, func() (bool, error) {
		_, err := s.uploads.First(ctx, docstore.Query{Index: "by_at", Equal: []any{project}})
		return err == nil, docstore.NotFoundAs(err, nil)
	})
	return err == nil && has
}

// location is where a file's source map is kept; nowhere is zero.
type location struct {
	artifact string
	uploaded time.Time
}

// locate finds a file's source map among those of its project, by its debug id or by its
// release. Errors are the store's.
func (s *Service) locate(ctx context.Context, project, debugID, release, dist, file string) (location, error) {
	key := strings.Join([]string{project, debugID}, "\x00")
	if debugID == "" {
		key = strings.Join([]string{project, "", release, dist, file}, "\x00")
	}
	if at, ok := s.located.Get(key); ok {
		return at, nil
	}
	if s.nowhere.Has(key) {
		return location{}, nil
	}
	begun, none := s.located.Begin(), s.nowhere.Begin()
	a, err := s.mapFile(ctx, project, debugID, release, dist, file)
	switch {
	case errors.Is(err, docstore.ErrNotFound):
		s.nowhere.PutRead(key, struct{}{}, none)
		return location{}, nil
	case err != nil:
		return location{}, err
	}
	at := location{a.ID, a.At.Time}
	s.located.PutRead(key, at, begun)
	return at, s.use(ctx, a)
}

// mapFile is the source map itself. It returns ErrNotFound or another error of the store.
func (s *Service) mapFile(ctx context.Context, project, debugID, release, dist, file string) (a artifact, err error) {
	if debugID != "" {
		return s.artifacts.First(ctx, docstore.Query{Index: byDebugID, Equal: []any{project, debugID, string(bundle.SourceMap)}, Descending: true})
	}
	err = docstore.ErrNotFound
	if release == "" {
		return a, err
	}
	at := func(url string, kind bundle.Kind) (artifact, error) {
		return s.artifacts.First(ctx, docstore.Query{Index: byAddress, Equal: []any{project, addressOf(release, dist, url), string(kind)}, Descending: true})
	}
	for _, address := range addresses(file) {
		if a, err = at(address, bundle.Minified); err == nil && a.SourceMap != "" {
			return at(relativeTo(a.URL, a.SourceMap), bundle.SourceMap)
		}
		if docstore.NotFoundAs(err, nil) != nil {
			return a, err
		}
		err = docstore.ErrNotFound
	}
	return a, err
}

// addresses are what a file may have been uploaded as: where it is served, and the same
// without its scheme and host.
func addresses(file string) []string {
	file, _, _ = strings.Cut(file, "?")
	file, _, _ = strings.Cut(file, "#")
	all := []string{file}
	if u, err := url.Parse(file); err == nil && u.Path != "" {
		all = append(all, "~"+path.Clean("/"+u.Path))
	}
	return all
}

// relativeTo is the address of a source map that a file names.
func relativeTo(file, sourceMap string) string {
	switch {
	case strings.HasPrefix(sourceMap, "~"):
		return sourceMap
	case strings.HasPrefix(sourceMap, "/"):
		return "~" + sourceMap
	}
	base, err := url.Parse(strings.Replace(file, "~/", "http://~/", 1))
	if err != nil {
		return sourceMap
	}
	to, err := base.Parse(sourceMap)
	if err != nil {
		return sourceMap
	}
	return strings.Replace(to.String(), "http://~/", "~/", 1)
}

// readMap reads a source map. It returns ErrNotFound where it is being removed, what
// sourcemap.Parse returns, or an error of the store.
func (s *Service) readMap(ctx context.Context, id string) (*sourcemap.Map, error) {
	a, err := s.artifacts.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	text, err := s.file(ctx, a)
	if err != nil {
		return nil, err
	}
	return sourcemap.Parse(text)
}
