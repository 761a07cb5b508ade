package errtrack

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"manus/docstore"
	"manus/internal/words"
	"manus/language"
)

// Project is a program that reports errors.
type Project struct {
	ID       string `json:"_id"` // a number, as SDKs demand
	Number   int64  `json:"number"`
	Name     string `json:"name"`
	Platform string `json:"platform,omitempty"`
	Keys     []Key  `json:"keys"`
	// PerMinute is how many requests it may send in a minute; 0 is what the limits say.
	PerMinute int `json:"per_minute,omitempty"`
	// Own is set of the project that this program reports to itself.
	Own       bool          `json:"own,omitempty"`
	CreatedAt docstore.Time `json:"created_at"`
	// MadeID is of the request that has made it, see [docstore.WithID].
	MadeID string `json:"made_id,omitempty"`
	// DeletedAt is set when it takes nothing any more, and what it has is removed.
	DeletedAt docstore.Time `json:"deleted_at,omitzero"`
	// Gone is set when nothing is left of it but its number.
	Gone bool `json:"gone,omitempty"`
}

// DocumentID is the project's id.
func (p Project) DocumentID() string { return p.ID }

// Key lets programs write to a project. It is no secret: it stands in pages.
type Key struct {
	Public    string        `json:"public"`
	CreatedAt docstore.Time `json:"created_at"`
	Disabled  bool          `json:"disabled,omitempty"`
	// Origins are where pages may send from; none is from anywhere.
	Origins []string `json:"origins,omitempty"`
}

var projectSpec = docstore.Spec{Collection: "error_projects", Of: Project{}, Indexes: []docstore.Index{
	{Name: "by_number", Fields: []string{"number"}, Unique: true},
}}

// Bounds of projects.
const (
	maxName      = 64
	maxProjects  = 1000 // that aren't deleted
	maxKeys      = 10
	maxOrigins   = 20
	maxPerMinute = 1_000_000 // which is as many as a limit may have
	// believedFor is how long another copy's change of a project may not be known.
	believedFor = 5 * time.Second
)

// prefix is what the short ids of the project's issues begin with.
func (p Project) prefix() string {
	prefix := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, p.Name)
	if prefix == "" {
		return "P" + p.ID
	}
	return prefix[:min(len(prefix), 12)]
}

// Slug is what the project is called in addresses and by sentry-cli, beside its name and its
// id: small letters and numbers, with dashes between. It is the id where the name has neither.
func (p Project) Slug() string {
	words := strings.FieldsFunc(strings.ToLower(p.Name), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return cmp.Or(strings.Join(words, "-"), p.ID)
}

// checkTaken returns ErrNameTaken or ErrSlugTaken for a project that can't be told from
// another one of all.
func (p Project) checkTaken(all []Project) error {
	for _, other := range all {
		switch slug := p.Slug(); {
		case other.ID == p.ID:
		case strings.EqualFold(other.Name, p.Name):
			return ErrNameTaken
		case slug != "" && (slug == other.Slug() || slug == other.ID):
			return ErrSlugTaken
		}
	}
	return nil
}

// named is the project of all that has an id, or else a name or a slug. It returns
// ErrNoProject, or ErrInvalid where several are called that.
func named(all []Project, name string) (Project, error) {
	if k := slices.IndexFunc(all, func(p Project) bool { return p.ID == name }); k >= 0 {
		return all[k], nil
	}
	called := slices.DeleteFunc(slices.Clone(all), func(p Project) bool { return !strings.EqualFold(p.Name, name) && p.Slug() != name })
	switch len(called) {
	case 0:
		return Project{}, ErrNoProject
	case 1:
		return called[0], nil
	}
	var ids []string
	for _, p := range called {
		ids = append(ids, p.ID)
	}
	which := strings.Join(ids, ", ")
	return Project{}, invalid("query.project", "Several projects are called that: say the number of one ("+which+"), or rename one.", "تحمل مشاريع عدة هذا الاسم: اذكر رقم أحدها ("+language.Arabic.Isolate(which)+") أو غيّر اسم أحدها.")
}

// DSN is where the project's programs report to, with its newest key that is in use; empty
// when there is none, or nobody knows where this program is reached.
func (s *Service) DSN(p Project) string {
	for _, k := range slices.Backward(p.Keys) {
		if !k.Disabled {
			return s.dsn(p, k)
		}
	}
	return ""
}

// dsn is that of one of the project's keys.
func (s *Service) dsn(p Project, k Key) string {
	u, err := url.Parse(*s.url.Load())
	if err != nil || u.Host == "" {
		return ""
	}
	u.User, u.Path = url.User(k.Public), "/"+p.ID
	return u.String()
}

// ReachedAt says where programs reach this one, when that is only known once it listens.
func (s *Service) ReachedAt(url string) { s.url.Store(&url) }

// OwnProject is the project of this program itself, made where there is none. Errors are the
// store's.
func (s *Service) OwnProject(ctx context.Context) (Project, error) { return s.ownProject(ctx) }

// NewProject makes a project with a key. It returns ErrInvalid, ErrNameTaken, ErrSlugTaken or an error of
// the store.
func (s *Service) NewProject(ctx context.Context, name, platform string) (Project, error) {
	name, platform = strings.TrimSpace(name), strings.TrimSpace(platform)
	if err := checkNames(name, platform); err != nil {
		return Project{}, err
	}
	all, err := s.Projects(ctx)
	made := slices.IndexFunc(all, func(p Project) bool { return p.MadeID != "" && p.MadeID == docstore.IDFrom(ctx) })
	switch {
	case err != nil:
		return Project{}, err
	case made >= 0: // by this request, which was cut off
		return all[made], nil
	case len(all) >= maxProjects:
		return Project{}, invalid("body", "There are "+words.Count(len(all), "project")+", which is as many as there may be: delete one.", fmt.Sprintf("بلغت المشاريع حدها الأقصى %d: احذف واحدًا.", maxProjects))
	}
	p := Project{Name: name, Platform: platform, MadeID: docstore.IDFrom(ctx)}
	if err := p.checkTaken(all); err != nil {
		return Project{}, err
	}
	return s.makeProject(ctx, p)
}

// makeProject adds a project under the next number, with a key.
func (s *Service) makeProject(ctx context.Context, p Project) (Project, error) {
	p.CreatedAt = docstore.At(s.c.Now())
	for {
		last, err := s.projects.First(ctx, docstore.Query{Index: "by_number", Descending: true})
		if docstore.NotFoundAs(err, nil) != nil {
			return Project{}, err
		}
		p.ID, p.Number, p.Keys = strconv.FormatInt(last.Number+1, 10), last.Number+1, []Key{newKey(p.CreatedAt)}
		if err := s.note(ctx, eventProjectMade, p.ID); err != nil {
			return Project{}, err
		}
		if err := s.projects.Insert(ctx, p); !errors.Is(err, docstore.ErrConflict) {
			s.taking.Forget()
			return p, err
		}
	}
}

// checkNames returns ErrInvalid for names that can't be a project's: they stand in alerts
// and on terminals.
func checkNames(name, platform string) error {
	for _, text := range [][2]string{{"body.name", name}, {"body.platform", platform}} {
		if text[1] != language.Cut(text[1], maxName) || strings.ContainsFunc(text[1], unprintable) {
			return invalid(text[0], "It has at most "+words.Count(maxName, "character")+", all of which can be printed.", fmt.Sprintf("أقصى طول بالأحرف %d، وكلها مما يُطبع.", maxName))
		}
	}
	if name == "" {
		return invalid("body.name", "A project has a name, which isn't empty.", "للمشروع اسم غير فارغ.")
	}
	if strings.Trim(name, "0123456789") == "" {
		return invalid("body.name", "A project's name isn't a number: projects are found by their numbers too.", "لا يكون اسم المشروع رقمًا: فالمشاريع تُعرف بأرقامها أيضًا.")
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func newKey(now docstore.Time) Key {
	key := make([]byte, 16)
	_, _ = rand.Read(key) // it never fails
	return Key{Public: hex.EncodeToString(key), CreatedAt: now}
}

// Projects are all of them, the oldest first.
func (s *Service) Projects(ctx context.Context) (all []Project, err error) {
	for p, err := range s.projects.All(ctx, docstore.Query{Index: "by_number", Limit: docstore.MaxLimit}) {
		if err != nil {
			return nil, err
		}
		if p.DeletedAt.IsZero() {
			all = append(all, p)
		}
	}
	return all, nil
}

// Project is one of them, by its id, its name or its slug. It returns ErrNoProject, ErrInvalid
// where several are called that, or an error of the store.
func (s *Service) Project(ctx context.Context, name string) (Project, error) {
	p, err := s.projects.Get(ctx, name)
	if err == nil && p.DeletedAt.IsZero() || err != nil && !errors.Is(err, docstore.ErrNotFound) {
		return p, err
	}
	all, err := s.Projects(ctx)
	if err != nil {
		return p, err
	}
	return named(all, name)
}

// projectOf is a project as it was a moment ago, of those that take events. What is asked
// for doesn't matter to the store: it may be anything that somebody sends. It returns
// ErrNoProject or an error of the store.
func (s *Service) projectOf(ctx context.Context, id string) (Project, error) {
	taking, err := s.taking.Load(struct{}{}, func() (map[string]Project, error) {
		all, err := s.Projects(ctx)
		byID := make(map[string]Project, len(all))
		for _, p := range all {
			byID[p.ID] = p
		}
		return byID, err
	})
	if err != nil {
		return Project{}, err
	}
	p, ok := taking[id]
	if !ok {
		return p, ErrNoProject
	}
	return p, nil
}

// ProjectChange is what may be changed of a project; nil leaves it as it is.
type ProjectChange struct {
	Name, Platform *string
	PerMinute      *int
	// NewKey adds a key. Disable and Enable are keys, and Origins are those of each.
	NewKey          bool
	Disable, Enable []string
	Origins         *[]string
}

// ChangeProject changes a project. It returns ErrNoProject, ErrInvalid, ErrNameTaken, ErrSlugTaken or an
// error of the store.
func (s *Service) ChangeProject(ctx context.Context, id string, c ProjectChange) (Project, error) {
	all, err := s.Projects(ctx)
	if err != nil {
		return Project{}, err
	}
	k := slices.IndexFunc(all, func(p Project) bool { return p.ID == id })
	if k < 0 {
		return Project{}, ErrNoProject
	}
	now := docstore.At(s.c.Now())
	changed := all[k]
	changed.Keys = slices.Clone(changed.Keys)
	err = c.apply(&changed, now)
	if err == nil && c.Name != nil {
		err = changed.checkTaken(all)
	}
	if err != nil { // what can't be isn't worth noting
		return Project{}, err
	}
	if err := s.note(ctx, eventProjectChanged, id); err != nil {
		return Project{}, err
	}
	p, err := s.projects.Update(ctx, id, func(p *Project) error {
		if !p.DeletedAt.IsZero() {
			return docstore.ErrNotFound
		}
		return c.apply(p, now)
	})
	s.taking.Forget()
	return p, docstore.NotFoundAs(err, ErrNoProject)
}

func (c ProjectChange) apply(p *Project, now docstore.Time) error {
	if c.Name != nil {
		p.Name = strings.TrimSpace(*c.Name)
	}
	if c.Platform != nil {
		p.Platform = strings.TrimSpace(*c.Platform)
	}
	if err := checkNames(p.Name, p.Platform); err != nil {
		return err
	}
	if c.PerMinute != nil {
		if p.PerMinute = *c.PerMinute; p.PerMinute < 0 || p.PerMinute > maxPerMinute {
			return invalid("body.per_minute", fmt.Sprintf("It is a number from 0 to %d; 0 is as the limits say.", maxPerMinute), fmt.Sprintf("عدد من 0 إلى %d؛ و 0 كما تقول الحدود.", maxPerMinute))
		}
	}
	if c.NewKey {
		if err := p.addKey(newKey(now)); err != nil {
			return err
		}
	}
	for _, change := range []struct {
		field string
		keys  []string
		to    bool
	}{{"body.disable", c.Disable, true}, {"body.enable", c.Enable, false}} {
		for _, public := range change.keys {
			k := slices.IndexFunc(p.Keys, func(k Key) bool { return k.Public == public })
			if k < 0 {
				return invalid(change.field, "The project doesn't have one of them; its own are the public ones of its keys.", "ليس أحدها من مفاتيح المشروع؛ ومفاتيحه هي public في keys.")
			}
			p.Keys[k].Disabled = change.to
		}
	}
	if c.Origins != nil {
		origins, err := originsOf(*c.Origins)
		if err != nil {
			return err
		}
		for i := range p.Keys {
			p.Keys[i].Origins = origins
		}
	}
	return nil
}

// addKey adds a key, with the origins of the others. Where there are as many as there may be
// it takes the place of the oldest that is disabled.
func (p *Project) addKey(k Key) error {
	if len(p.Keys) >= maxKeys {
		oldest := slices.IndexFunc(p.Keys, func(k Key) bool { return k.Disabled })
		if oldest < 0 {
			return invalid("body.new_key", "There are "+words.Count(len(p.Keys), "key")+", which is as many as there may be: disable one, whose place the new one takes.", fmt.Sprintf("بلغت المفاتيح حدها الأقصى %d: عطّل واحدًا ليحل الجديد محله.", maxKeys))
		}
		p.Keys = slices.Delete(p.Keys, oldest, oldest+1)
	}
	if len(p.Keys) > 0 {
		k.Origins = p.Keys[0].Origins
	}
	p.Keys = append(p.Keys, k)
	return nil
}

// originsOf are origins as browsers write them.
func originsOf(texts []string) (origins []string, err error) {
	if len(texts) > maxOrigins {
		return nil, invalid("body.origins", "There are at most "+words.Count(maxOrigins, "origin")+".", fmt.Sprintf("أقصى عدد: %d.", maxOrigins))
	}
	for _, text := range texts {
		u, err := url.Parse(strings.ToLower(text))
		if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || strings.Contains(u.Host, "*") || len(text) > 300 {
			return nil, invalid("body.origins", "Each is as https://shop.example.com or http://localhost:3000: without a path, a user, or a *.", "كلٌّ منها مثل https://shop.example.com أو http://localhost:3000 بلا مسار ولا مستخدم ولا *.")
		}
		host := strings.TrimSuffix(u.Host, map[string]string{"http": ":80", "https": ":443"}[u.Scheme])
		origins = append(origins, u.Scheme+"://"+host)
	}
	return origins, nil
}

// takesFrom tells whether what comes from an origin may use the key. What has none isn't
// sent by a page.
func (k Key) takesFrom(origin string) bool {
	return origin == "" || len(k.Origins) == 0 || slices.Contains(k.Origins, origin)
}

// DeleteProject has a project take nothing any more, and what was told of its jobs end; what
// it has is removed by and by. It returns ErrNoProject or an error of the store.
func (s *Service) DeleteProject(ctx context.Context, id string) error {
	if p, err := s.projects.Get(ctx, id); err != nil || !p.DeletedAt.IsZero() {
		return cmp.Or(docstore.NotFoundAs(err, ErrNoProject), ErrNoProject)
	}
	if err := s.note(ctx, eventProjectDeleted, id); err != nil {
		return err
	}
	p, err := s.projects.Update(ctx, id, func(p *Project) error {
		if !p.DeletedAt.IsZero() {
			return docstore.ErrNotFound
		}
		p.DeletedAt = docstore.At(s.c.Now())
		return nil
	})
	s.taking.Forget()
	if err != nil {
		return docstore.NotFoundAs(err, ErrNoProject)
	}
	if _, err := s.removeAllMonitors(ctx, p); err != nil { // the sweep does it then
		s.c.Log.WarnContext(ctx, "the jobs of a deleted project can't be removed yet", "project", id, "error", err)
	}
	return nil
}
