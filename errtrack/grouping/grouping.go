// Package grouping tells which events are the same bug: hashes that they have in common,
// a title for people, and why in a sentence.
//
// It sees one event at a time and keeps nothing. Of which issue a hash is, and whether
// people have merged or split issues, it doesn't know. docs/decisions/grouping.md has the
// reasons of its rules, and where they fail.
package grouping

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"manus/errtrack/event"
	"manus/language"
)

// Group is where an event belongs.
type Group struct {
	// Hashes are the event's own and then others under which its issue may be known: by all
	// frames, from before the SDK said which are the program's own code, and by former
	// versions of the rules. An event belongs to the issue of the first that is known. They
	// are of one project: equal hashes of two projects mean nothing.
	Hashes []string
	Why    Why
	Title  string // one line, at most 255 characters
	Type   string // of the exception that Title names; empty for messages
	Value  string // what that exception says, or the message
	// Culprit is where it happened: the route or task, or else the innermost function that
	// isn't a helper.
	Culprit string
}

// Bounds of what a Group holds, in characters.
const (
	maxTitle   = 255
	maxType    = 128
	maxValue   = 1024
	maxCulprit = 200
)

// Version is an edition of the rules. Its Name begins its hashes.
type Version struct {
	Name  string
	rules func(*event.Event) (keys []key, why Why)
}

// Versions are those whose hashes events have, the one in force first. A change of what is
// hashed is a new version before the others; the one that it replaces may go when the
// issues that were last seen under it have been forgotten.
var Versions = []Version{{"v1", rulesV1}}

// key is what events of a bug have in common, each part with its length before it.
type key []byte

func (k *key) add(part string) {
	*k = append(binary.AppendUvarint(*k, uint64(len(part))), part...)
}

func (k *key) addFrame(f frame) {
	*k = append(binary.AppendUvarint(*k, uint64(len(f.key))), f.key...)
}

func (k key) hash() string {
	sum := sha256.Sum256(k)
	return hex.EncodeToString(sum[:16])
}

// Of is the group of an event.
func Of(e *event.Event) Group { return of(e, Versions) }

func of(e *event.Event, versions []Version) Group {
	var g Group
	for i, v := range versions {
		keys, why := v.rules(e)
		if i == 0 {
			g.Why = why
		}
		for _, k := range keys {
			if h := v.Name + ":" + k.hash(); !slices.Contains(g.Hashes, h) {
				g.Hashes = append(g.Hashes, h)
			}
		}
	}
	g.name(e)
	return g
}

// name says what people see.
func (g *Group) name(e *event.Event) {
	x, value := caught(e.Exceptions)
	value = cmp.Or(value, e.Message, e.Template)
	title := firstLine(value)
	if x != nil && !x.Synthetic {
		g.Type = language.Cut(firstLine(x.Type), maxType)
		switch {
		case title == "":
			title = g.Type
		case !saysNothing(x.Type):
			title = g.Type + ": " + title
		}
	}
	g.Title = cmp.Or(language.Cut(title, maxTitle), "<unlabeled event>") // as Sentry calls it
	g.Value = language.Cut(value, maxValue)
	g.Culprit = language.Cut(cmp.Or(firstLine(e.Transaction), crash(e)), maxCulprit)
}

// caught is the exception that an event is called by, the outermost whose type means
// something, and what the whole chain says: wrappers repeat what they wrap.
func caught(chain []event.Exception) (x *event.Exception, value string) {
	if len(chain) == 0 {
		return nil, ""
	}
	x = &chain[0]
	for i := len(chain) - 1; i >= 0; i-- {
		if !chain[i].Synthetic && !saysNothing(chain[i].Type) {
			x = &chain[i]
			break
		}
	}
	for i := len(chain) - 1; i >= 0 && value == ""; i-- {
		value = chain[i].Value
	}
	return x, value
}

// saysNothing is whether a type is one that Go's programs wrap a text in: its name is the
// same for all errors.
func saysNothing(kind string) bool {
	switch kind {
	case "", "*errors.errorString", "*fmt.wrapError", "*fmt.wrapErrors", "*errors.joinError", "*fmt.errorString",
		"*errors.fundamental", "*errors.withStack", "*errors.withMessage", // github.com/pkg/errors
		"*xerrors.errorString", "*xerrors.wrapError", "*xerrors.noWrapError",
		"*errutil.leafError", "*errutil.withPrefix", "*withstack.withStack": // github.com/cockroachdb/errors
		return true
	}
	return false
}

// firstLine is the first line of a text that isn't empty.
func firstLine(text string) string {
	text = strings.TrimSpace(text)
	if i := strings.IndexAny(text, "\n\r"); i >= 0 {
		text = strings.TrimSpace(text[:i])
	}
	return text
}

// Bounds of what is hashed.
const (
	maxFrames    = 8 // that say where it failed: more helpers than that don't call each other
	maxAllFrames = 256
	maxTypes     = 5
	maxParts     = 8 // of a fingerprint, that Why names
	maxPart      = 220
)

// rulesV1 are, in their order: what the program says itself; types and where it failed in
// the program's own code; types and all frames, with the text; types and text; the text;
// nothing.
//
// In the program's own code, what failed at one place is told by the line of source. Where that
// isn't known, or says nothing, it is told by the text, unless the type says enough.
func rulesV1(e *event.Event) (keys []key, why Why) {
	failed, all := framesOf(e)
	types, opaque := typesOf(e.Exceptions)
	text := textOf(e)
	why = Why{Types: types}
	frames := all
	switch {
	case len(failed) > 0:
		why.Rule, frames = OwnFrames, failed
		at := failed[len(failed)-1]
		switch {
		case isMessage(e), !at.isPlace(), slices.ContainsFunc(failed, frame.isNameless):
			why.Text = text
		case at.line != "":
			why.Line = at.line
		case opaque || isScript(e.Platform) && saysLittle(types[0]):
			why.Text = text
		}
	case len(all) > 0:
		why.Rule, why.Text = AllFrames, text
	case len(types) > 0:
		why.Rule, why.Text = TypesAndText, text
	case text != "":
		why.Rule, why.Text = Text, text
	default:
		why.Rule = Nothing
	}
	why.FrameCount = len(frames)
	for _, f := range frames[:min(len(frames), maxFrames)] {
		why.Frames = append(why.Frames, string(f.key))
	}
	keys = []key{keyOf(why.Rule, types, frames, why.Line, why.Text)}
	if len(failed) > 0 {
		// What the key would be if none of the frames were of the program's own code.
		keys = append(keys, keyOf(AllFrames, types, all, "", text))
	}
	if len(e.Fingerprint) == 0 {
		return keys, why
	}
	return byFingerprint(e, keys, why)
}

// saysLittle tells whether a type is one that the engine of JavaScript throws for many
// reasons, with a text that names what is in the code. That of a SyntaxError names what is
// in the data.
func saysLittle(kind string) bool {
	return kind == "TypeError" || kind == "ReferenceError" || kind == "RangeError"
}

// isMessage tells whether an event is no error but something that the program says.
func isMessage(e *event.Event) bool {
	return len(e.Exceptions) == 0 || len(e.Exceptions) == 1 && e.Exceptions[0].Type == ""
}

func keyOf(rule Rule, types []string, frames []frame, line, text string) key {
	size := 256 + len(line) + len(text)
	for _, f := range frames {
		size += len(f.key) + 2
	}
	k := make(key, 0, size)
	k.add(string(rule))
	for _, t := range types {
		k.add(t)
	}
	k.add("") // ends the types
	for _, f := range frames {
		k.addFrame(f)
	}
	k.add("") // ends the frames
	k.add(line)
	k.add(text)
	return k
}

// typesOf are the types of a chain that mean something, from the caught one to its causes,
// and whether there is a cause to ask for the text: none does, or one says nothing.
func typesOf(chain []event.Exception) (types []string, opaque bool) {
	for i := len(chain) - 1; i >= 0 && len(types) < maxTypes; i-- {
		switch x := &chain[i]; {
		case x.Synthetic || saysNothing(x.Type):
			opaque = true
		case !slices.Contains(types, x.Type):
			types = append(types, x.Type)
		}
	}
	return types, opaque || len(types) == 0
}

// textOf is what an event says, without what differs from one time to the next.
func textOf(e *event.Event) string {
	_, value := caught(e.Exceptions)
	if value == "" && hasWords(e.Template) {
		value = e.Template
	}
	return normalise(cmp.Or(value, e.Message, e.Template))
}

// hasWords is whether a template says something by itself, as "%s: %s" doesn't.
func hasWords(template string) bool {
	for i := 0; i < len(template); i++ {
		switch c := template[i]; {
		case c == '%' && i+1 < len(template) && template[i+1] != '(':
			i++
		case c == '%' || c == '{': // %(name)s, {name}
			end := strings.IndexAny(template[i:], ")}")
			if end < 0 {
				return false
			}
			if i += end; c == '%' {
				i++
			}
		case isLetter(c):
			return true
		}
	}
	return false
}

// byFingerprint are the keys by what a program says itself. It stands before everything
// else; "{{ default }}" in it stands for each of the keys that there would be, and other
// variables of Sentry's for what the event says.
func byFingerprint(e *event.Event, defaults []key, why Why) ([]key, Why) {
	const standard = "default"
	parts := slices.Clone(e.Fingerprint)
	var unknown []string
	isDefault := make([]bool, len(parts))
	for i, part := range parts {
		switch name := variable(part); name {
		case "":
		case standard:
			isDefault[i] = true
		default:
			value, known := valueOf(e, name)
			if !known && len(unknown) < maxParts {
				unknown = append(unknown, part)
			}
			if known {
				parts[i] = "{{ " + name + " }} " + value
			}
		}
	}
	if len(parts) == 1 && isDefault[0] {
		return defaults, why
	}
	if !slices.Contains(isDefault, true) {
		defaults, why = defaults[:1], Why{Rule: Fingerprint}
	}
	why.Fingerprint, why.Unknown = nil, unknown
	for _, part := range parts[:min(len(parts), maxParts)] {
		why.Fingerprint = append(why.Fingerprint, language.Cut(part, maxPart))
	}
	var keys []key
	for _, d := range defaults {
		var k key
		k.add(string(Fingerprint))
		for i, part := range parts {
			if isDefault[i] {
				part = "{{ default }}" + string(d)
			}
			k.add(part)
		}
		keys = append(keys, k)
	}
	return keys, why
}

// variable is the name in a part that is "{{ name }}"; empty for another.
func variable(part string) string {
	inner, opened := strings.CutPrefix(strings.TrimSpace(part), "{{")
	inner, closed := strings.CutSuffix(inner, "}}")
	if !opened || !closed {
		return ""
	}
	return strings.TrimSpace(inner)
}

// valueOf is what a variable stands for, by Sentry's names
// (https://docs.sentry.io/concepts/data-management/event-grouping/fingerprint-rules/), and
// whether there is such a variable.
func valueOf(e *event.Event, name string) (value string, known bool) {
	var x event.Exception
	if len(e.Exceptions) > 0 {
		x = e.Exceptions[len(e.Exceptions)-1]
	}
	frames := x.Frames
	if len(frames) == 0 {
		frames = e.Stack
	}
	var at event.Frame
	for _, f := range slices.Backward(frames) {
		if at = f; f.InApp {
			break
		}
	}
	if tag, ok := strings.CutPrefix(name, "tags."); ok {
		return e.Tags[tag], true
	}
	switch name {
	case "error.type", "type":
		return x.Type, true
	case "error.value", "value":
		return x.Value, true
	case "stack.function", "function":
		return at.Function, true
	case "stack.module", "module":
		return at.Module, true
	case "stack.abs_path", "path":
		return cmp.Or(at.AbsPath, at.Filename), true
	case "message":
		return cmp.Or(e.Message, x.Value), true
	case "transaction":
		return e.Transaction, true
	case "level":
		return string(e.Level), true
	case "logger":
		return e.Logger, true
	case "release":
		return e.Release, true
	}
	return "", false
}
