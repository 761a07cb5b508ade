package statuspage

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"manus/internal/waittest"
	"manus/language"
)

// front stands between a page and strangers, and does with answers what it likes.
type front struct {
	*house
	*httptest.Server
	mu     sync.Mutex
	change func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder)
}

// newFront is what strangers reach of a page whose clock is set apart from that of who looks.
func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding")
		answer := httptest.NewRecorder()
		f.handler.ServeHTTP(answer, r)
		f.mu.Lock()
		change := f.change
		f.mu.Unlock()
		if change == nil {
			change = send
		}
		change(w, r, answer)
	}))
	t.Cleanup(f.Close)
	f.house = refreshed(t, busy(), func(s *Settings) { s.URL = f.URL })
	return f
}

func send(w http.ResponseWriter, _ *http.Request, answer *httptest.ResponseRecorder) {
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// does has the front change what it sends.
func (f *front) does(change func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.change = change
}

// writes has the front send another text.
func (f *front) writes(change func(string) string) {
	f.does(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
		text := change(answer.Body.String())
		answer.Body = bytes.NewBufferString(text)
		answer.Header().Del("Content-Length")
		send(w, r, answer)
	})
}

// checking is what looks at a front, of which what isn't so any more may be shown for so long.
func checking(t *testing.T, within time.Duration) *promise {
	t.Helper()
	c := NewCheck(CheckConfig{CutOff: func() bool { return false }, Pace: CheckPace{Every: time.Millisecond}, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	return c.promise(ThePage, within)
}

// looks3 looks as often as has to be for a difference to be said, and returns what was found at last.
func (p *promise) looks3(t *testing.T, f *front) Finding {
	t.Helper()
	for range looksThatLast {
		shown, err := f.Shown()
		p.look(t.Context(), shown, err == nil)
	}
	return p.finding
}

func TestWhatStrangersAreShownOtherwiseIsFound(t *testing.T) {
	t.Parallel()
	replaced := func(old, by string) func(*front) {
		return func(f *front) {
			f.writes(func(text string) string { return strings.ReplaceAll(text, old, by) })
		}
	}
	headed := func(change func(http.Header)) func(*front) {
		return func(f *front) {
			f.does(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
				change(answer.Header())
				send(w, r, answer)
			})
		}
	}
	yesterday := refreshed(t, busy())
	yesterday.set(func(h *house) { h.at = now.AddDate(0, 0, -1) })
	yesterday.site.Store(nil)
	yesterday.shown = nil
	if err := yesterday.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		front func(*front)
		says  string
	}{
		"nobody answers": {func(f *front) {
			f.does(func(http.ResponseWriter, *http.Request, *httptest.ResponseRecorder) { panic(http.ErrAbortHandler) })
		}, "can’t be reached"},
		"an error": {func(f *front) {
			f.does(func(w http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder) { w.WriteHeader(502) })
		}, "502"},
		"as text":             {headed(func(h http.Header) { h.Set("Content-Type", "text/plain") }), "sent as text/plain rather than text/html"},
		"without its policy":  {headed(func(h http.Header) { h.Del("Content-Security-Policy") }), "Content-Security-Policy"},
		"with another policy": {headed(func(h http.Header) { h.Set("Content-Security-Policy", "default-src *") }), "Content-Security-Policy"},
		"a page without end":  {func(f *front) { f.writes(func(text string) string { return text + strings.Repeat(" ", maxShown) }) }, "doesn’t end"},
		"somebody else's page": {func(f *front) {
			f.writes(func(string) string { return "<title>Hotel</title><h1>Sign in to the Wi-Fi</h1>" })
		}, "another page"},
		"another sentence":       {replaced(`data-is="overall">`, `data-is="overall">Not so: `), "Shown is “Not so:"},
		"a component that works": {replaced(statusWords[MajorOutage].En, statusWords[Operational].En), "Shown is “Mail Operational” where it should be “Mail "},
		"an incident that's gone": {func(f *front) {
			f.writes(func(text string) string {
				before, rest, is := strings.Cut(text, `<article class="panel incident`)
				if !is {
					return text
				}
				_, after, _ := strings.Cut(rest, "</article>")
				return before + after
			})
		}, "Shown is nothing where it should be “Mails are late"},
		"other words":            {replaced("Nothing is lost.", "All is lost."), "All is lost"},
		"a work that is made up": {replaced("</main>", `<article data-is="work/x">We move</article></main>`), "“We move”"},
		"Arabic for everybody": {func(f *front) {
			f.does(func(w http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder) {
				r.Header.Set("Accept-Language", "ar")
				answer := httptest.NewRecorder()
				f.handler.ServeHTTP(answer, r)
				send(w, r, answer)
			})
		}, "language ar for who has asked for en"},
		"yesterday's page": {func(f *front) {
			f.does(func(w http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder) {
				answer := httptest.NewRecorder()
				yesterday.handler.ServeHTTP(answer, r)
				send(w, r, answer)
			})
		}, "1 day older than what there is"},
		"JSON of yesterday": {func(f *front) {
			f.does(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
				if strings.HasPrefix(r.URL.Path, "/api/") {
					answer = httptest.NewRecorder()
					yesterday.handler.ServeHTTP(answer, r)
				}
				send(w, r, answer)
			})
		}, "1 day older than what there is"},
		"JSON that is forged": {replaced(`"status":"major_outage"`, `"status":"operational"`), "operational"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFront(t)
			p := checking(t, time.Minute)
			if found := p.looks3(t, f); found.State != Same {
				t.Fatalf("before it is found %+v", found)
			}
			c.front(f)
			found := p.looks3(t, f)
			if found.State != Differs || !strings.Contains(found.Text.En, c.says) || found.Text.Ar == "" || found.URL != f.URL+"/status" || found.Since.IsZero() {
				t.Errorf("it is found %+v", found)
			}
			f.does(nil)
			if found := p.looks3(t, f); found.State != Same || found.Text != (language.Text{}) || !found.Since.IsZero() {
				t.Errorf("afterwards it is found %+v", found)
			}
		})
	}
}

// What proxies do that changes nothing for readers is no difference.
func TestWhatProxiesMayDo(t *testing.T) {
	t.Parallel()
	for name, does := range map[string]func(*front){
		"pack": func(f *front) {
			f.does(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
				var packed bytes.Buffer
				out := gzip.NewWriter(&packed)
				_, _ = io.Copy(out, answer.Body)
				_ = out.Close()
				answer.Body = &packed
				answer.Header().Set("Content-Encoding", "gzip")
				answer.Header().Del("Content-Length")
				send(w, r, answer)
			})
		},
		"shorten": func(f *front) {
			f.writes(func(text string) string {
				return strings.NewReplacer("\n", " ", `<ul class="rows panel">`, `<ul class='rows panel'>`, "</li>", "", "</p>", "").Replace(text)
			})
		},
		"add a comment, a script and headers": func(f *front) {
			f.does(func(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
				if strings.HasPrefix(answer.Header().Get("Content-Type"), "text/html") {
					answer.Body.WriteString("<!-- cached --><script src=/cdn.js></script>")
				}
				answer.Header().Del("Content-Length")
				answer.Header().Add("Content-Security-Policy", "upgrade-insecure-requests")
				answer.Header().Set("Age", "29")
				send(w, r, answer)
			})
		},
		"lead elsewhere": func(f *front) { f.does(redirectOnce) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFront(t)
			does(f)
			p := checking(t, time.Minute)
			if found := p.looks3(t, f); found.State != Same {
				t.Errorf("it is found %+v", found)
			}
		})
	}
}

func redirectOnce(w http.ResponseWriter, r *http.Request, answer *httptest.ResponseRecorder) {
	if !strings.Contains(r.URL.RawQuery, "there") {
		http.Redirect(w, r, r.URL.Path+"?there", http.StatusFound)
		return
	}
	send(w, r, answer)
}

// A cache may keep a page for a while after something else is so; a page that is being replaced
// differs for a look; a server that is started anew, and a place that is cut off, say nothing.
func TestNothingIsSaidOfWhatPasses(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	p := checking(t, time.Minute)
	p.looks3(t, f)
	kept := map[string]*httptest.ResponseRecorder{}
	for _, accepted := range []string{"/status en", "/status ar", "/api/v2/summary.json "} {
		path, tag, _ := strings.Cut(accepted, " ")
		request := httptest.NewRequest(http.MethodGet, path, nil)
		request.Header.Set("Accept-Language", tag)
		kept[accepted] = httptest.NewRecorder()
		f.handler.ServeHTTP(kept[accepted], request)
	}
	f.does(func(w http.ResponseWriter, r *http.Request, _ *httptest.ResponseRecorder) { // a cache
		send(w, r, kept[r.URL.Path+" "+r.Header.Get("Accept-Language")])
	})
	f.set(func(h *house) {
		h.model.Incidents = h.model.Incidents[1:]
		h.model.Components[3].Watched = nil
		h.at = now.Add(50 * time.Second)
	})
	if err := f.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := p.looks3(t, f); found.State != Same {
		t.Errorf("what a cache may have is found %+v", found)
	}
	p.before = map[string][]dated{} // the minute is over
	if found := p.looks3(t, f); found.State != Differs {
		t.Errorf("what it may have no more is found %+v", found)
	}
	for range 2 * looksThatLast { // told, and now nothing is known: that is no end
		p.look(t.Context(), Shown{}, false)
	}
	if p.finding.State != NotKnown || p.finding.Since.IsZero() {
		t.Errorf("as the server can't be asked, it is found %+v", p.finding)
	}
	f.does(nil)
	p.looks3(t, f)
	fail := func(w http.ResponseWriter, _ *http.Request, _ *httptest.ResponseRecorder) { w.WriteHeader(502) }
	shown, _ := f.Shown()
	for range 3 * looksThatLast { // again and again, but never for long
		f.does(fail)
		p.look(t.Context(), shown, true)
		p.look(t.Context(), shown, true)
		p.look(t.Context(), shown, false)
		if p.finding.State == Differs {
			t.Fatalf("what passes is found %+v", p.finding)
		}
	}
	p.c.Pace.Lasting = time.Hour
	if found := p.looks3(t, f); found.State != NotKnown {
		t.Errorf("what hasn't lasted is found %+v", found)
	}
}

// The copy is looked at where its host has it, and that may stand still.
func TestACopyThatItsHostDoesNotUpdateIsFound(t *testing.T) {
	t.Parallel()
	h := refreshed(t, busy())
	dir := t.TempDir()
	var frozen sync.Map // what the host goes on to answer, by path
	stands := false
	var mu sync.Mutex
	files := http.FileServer(http.Dir(dir))
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		answer, kept := frozen.Load(r.URL.Path)
		if !stands || !kept {
			fresh := httptest.NewRecorder()
			files.ServeHTTP(fresh, r)
			frozen.Store(r.URL.Path, fresh)
			answer = fresh
		}
		send(w, r, answer.(*httptest.ResponseRecorder))
	}))
	t.Cleanup(host.Close)
	stand := func(still bool) { mu.Lock(); defer mu.Unlock(); stands = still }
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	check := NewCheck(CheckConfig{
		Shown: func(context.Context) (Shown, error) { return Shown{}, nil }, CutOff: func() bool { return false },
		Pace: CheckPace{Every: time.Millisecond, Copy: 20 * time.Millisecond, Lasting: 5 * time.Millisecond}, Log: log,
	})
	page := New(Config{Markdown: h.c.Markdown, Log: log, Now: h.c.Now, Read: h.c.Read}, Settings{URL: host.URL, Root: true})
	write := func(at time.Time) {
		h.set(func(h *house) { h.at = at })
		if err := page.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := page.keep(MirrorConfig{Dir: dir, URL: host.URL, Wrote: check.Wrote}); err != nil {
			t.Fatal(err)
		}
	}
	write(now)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { check.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	found := func(state Agreement) func() bool {
		return func() bool {
			all := check.Findings()
			return len(all) == 2 && all[0].State == NotKnown && all[1].Of == TheCopy && all[1].State == state && all[1].URL == host.URL+"/"
		}
	}
	waittest.Poll(t, found(Same))
	stand(true)
	write(now.Add(time.Hour))
	waittest.Poll(t, found(Differs))
	if text := check.Findings()[1].Text.En; !strings.Contains(text, "1 hour older") {
		t.Error(text)
	}
	stand(false)
	waittest.Poll(t, found(Same))
}

func FuzzReadShown(f *testing.F) {
	f.Add("en", `<html lang=en><p data-updated><time datetime="2026-11-27T09:41:12Z"></time></p><b data-is="overall">All is well</b>`)
	f.Add("", `{"page":{"updated_at":"2026-11-27T09:41:12.000Z"},"components":[{"id":"api","status":"operational"}]}`)
	f.Add("ar", strings.Repeat("<table><b data-is=x>", 300))
	f.Fuzz(func(t *testing.T, tag, body string) {
		file := ShownFile{Language: language.Tag(tag)}
		s, err := file.read([]byte(body))
		if err != nil {
			return
		}
		if text := s.unlike([]said{s}, 0); text != (language.Text{}) {
			t.Errorf("%q is unlike itself: %+v", body, text)
		}
	})
}
