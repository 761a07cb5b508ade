package statuspage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"manus/internal/guard"
	"manus/language"
)

// What is checked: the page, and a copy of it that is files.
const (
	ThePage = "page"
	TheCopy = "copy"
)

// Finding is what was found of one of them.
type Finding struct {
	Of    string // ThePage or TheCopy
	URL   string // where
	State Agreement
	// Since is when it was first found to differ, and Text how it does now.
	Since time.Time
	Text  language.Text
}

// Agreement is whether strangers are shown what is so.
type Agreement string

// The agreements.
const (
	NotKnown Agreement = "unknown" // nothing can be said just now: that ends nothing that was said before
	Same     Agreement = "same"
	Differs  Agreement = "differs" // for longer than any cache, publishing or start takes
)

// CheckConfig is what a Check is made of.
type CheckConfig struct {
	// Shown is what the server answers now. As long as it can't be asked, nothing is said of anything.
	Shown func(context.Context) (Shown, error)
	// CutOff tells whether nothing can be reached from here.
	CutOff func() bool
	Agent  string // what the looks are made as
	// Pace is how often it is looked, and what strangers may be shown; zero is the usual one.
	Pace CheckPace
	Log  *slog.Logger
}

// CheckPace is how patient a check is.
type CheckPace struct {
	Every time.Duration
	// Page and Copy are for how long something may be shown that isn't so any more: the
	// time that caches keep it, and the host of a copy takes to publish it.
	Page, Copy time.Duration
	// Lasting is for how long, and at how many looks, it has to differ before that is said.
	Lasting time.Duration
}

// usualPace: a page says that it may be kept for half a minute and shown for another while it is read anew, and is
// rendered every half a minute. Hosts of files let theirs be kept for up to ten minutes.
var usualPace = CheckPace{Every: 15 * time.Second, Page: 3 * time.Minute, Copy: 15 * time.Minute, Lasting: 3 * time.Minute}

// looksThatLast is at how many looks in a row something has to differ.
const looksThatLast = 3

// Check looks, as strangers do, whether the page and its copy show what they should.
type Check struct {
	c      CheckConfig
	client *http.Client

	mu       sync.Mutex
	wrote    Shown
	findings []Finding
}

// Bounds of a look.
const (
	lookTimeout  = 15 * time.Second
	maxRedirects = 5
)

// NewCheck makes a Check.
func NewCheck(c CheckConfig) *Check {
	if c.Pace == (CheckPace{}) {
		c.Pace = usualPace
	}
	dialer := &net.Dialer{Timeout: lookTimeout, Control: guard.Control(true)}
	return &Check{c: c, findings: []Finding{{Of: ThePage, State: NotKnown}}, client: &http.Client{
		Timeout: lookTimeout,
		CheckRedirect: func(_ *http.Request, past []*http.Request) error {
			if len(past) > maxRedirects {
				return errors.New("it is redirected too often")
			}
			return nil
		},
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
	}}
}

// Wrote has the copy be what was just written. It is the Wrote of a mirror.
func (c *Check) Wrote(shown Shown) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrote = shown
}

// Findings are what was found of what is checked.
func (c *Check) Findings() []Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.findings)
}

// Run looks again and again until ctx ends.
func (c *Check) Run(ctx context.Context) {
	tick := time.NewTicker(c.c.Pace.Every)
	defer tick.Stop()
	page, files := c.promise(ThePage, c.c.Pace.Page), c.promise(TheCopy, c.c.Pace.Copy)
	for {
		shown, err := c.c.Shown(ctx)
		asked := err == nil && !c.c.CutOff()
		c.mu.Lock()
		wrote := c.wrote
		c.mu.Unlock()
		page.look(ctx, shown, asked)
		files.look(ctx, wrote, asked)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.findings = append(c.findings[:0:0], page.finding)
		if files.finding.URL != "" {
			c.findings = append(c.findings, files.finding)
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// promise is one of what is checked.
type promise struct {
	*Check
	within  time.Duration
	finding Finding
	before  map[string][]dated // by URL and language, what may be shown, the oldest first
	// since is when it was found to differ, at so many looks in a row; zero looks as long as it doesn't.
	since time.Time
	looks int
	told  Agreement // what was said last in the log
}

// dated is what was so until a moment, by the clock that no one sets.
type dated struct {
	said
	last time.Time
}

func (c *Check) promise(of string, within time.Duration) *promise {
	return &promise{Check: c, within: within, finding: Finding{Of: of, State: NotKnown}, before: map[string][]dated{}}
}

// look looks once. asked tells that the server has answered, so that this place isn't cut off.
func (p *promise) look(ctx context.Context, shown Shown, asked bool) {
	allowed := make([][]said, len(shown.Files))
	for i, f := range shown.Files {
		allowed[i] = p.note(f)
	}
	if !asked || len(shown.Files) == 0 {
		p.looks = 0
		p.settle(ctx, NotKnown, language.Text{})
		return
	}
	p.finding.URL = shown.Files[0].URL
	for i, f := range shown.Files {
		if len(allowed[i]) == 0 { // of another version
			continue
		}
		if text := p.compare(ctx, f, shown.Policy, allowed[i]); text != (language.Text{}) {
			p.differs(ctx, text)
			return
		}
	}
	p.looks = 0
	p.settle(ctx, Same, language.Text{})
}

// note remembers what is so, and returns what may be shown.
func (p *promise) note(f ShownFile) (allowed []said) {
	key, now := f.URL+" "+f.Language.String(), time.Now()
	all := slices.DeleteFunc(p.before[key], func(d dated) bool { return now.Sub(d.last) > p.within })
	if is, err := f.read([]byte(f.Body)); err == nil {
		all = append(all, dated{is, now})
	}
	p.before[key] = all
	for _, d := range all {
		allowed = append(allowed, d.said)
	}
	return allowed
}

// differs notes a look at which it differs, in the way that a text says.
func (p *promise) differs(ctx context.Context, text language.Text) {
	if p.looks++; p.looks == 1 {
		p.since = time.Now()
	}
	if p.looks < looksThatLast || time.Since(p.since) < p.c.Pace.Lasting {
		p.settle(ctx, NotKnown, language.Text{})
		return
	}
	p.settle(ctx, Differs, text)
}

// settle has it be found so, and says in the log when that has changed.
func (p *promise) settle(ctx context.Context, state Agreement, text language.Text) {
	p.finding.State, p.finding.Text = state, text
	if state == NotKnown || state == p.told || ctx.Err() != nil {
		return
	}
	if p.told = state; state == Same {
		p.finding.Since = time.Time{}
		p.c.Log.InfoContext(ctx, "strangers are shown what they should be", "of", p.finding.Of, "url", p.finding.URL)
		return
	}
	p.finding.Since = p.since.Round(0)
	p.c.Log.WarnContext(ctx, "strangers aren't shown what they should be", "of", p.finding.Of, "url", p.finding.URL, "how", text.En)
}

// compare looks at a file as a stranger, and says how it differs from what may be shown.
func (p *promise) compare(ctx context.Context, f ShownFile, policy string, allowed []said) language.Text {
	response, err := p.ask(ctx, f)
	if err != nil {
		return unreachable
	}
	defer func() { _ = response.Body.Close() }()
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")) // of none is none
	want := "text/html"
	if f.Language == "" {
		want = "application/json"
	}
	switch {
	case response.StatusCode != http.StatusOK:
		return answers.Quoting(fmt.Sprint(response.StatusCode))
	case kind != want:
		return ofType.Quoting(language.Cut(kind, maxQuoted), want)
	case f.Language != "" && !hasPolicy(response.Header, policy):
		return unprotected
	}
	body, err := readAll(response.Body)
	if err != nil {
		return brokenOff
	}
	is, err := f.read(body)
	switch {
	case err != nil:
		return foreign
	case is.tag != f.Language:
		return otherLanguage.Quoting(string(is.tag), string(f.Language))
	}
	return is.unlike(allowed, p.within)
}

// How it can differ beside what it says.
var (
	unreachable   = language.Text{En: "It can’t be reached.", Ar: "لا يمكن الوصول إليها."}
	answers       = language.Text{En: "It is answered with #.", Ar: "الرد هو #."}
	ofType        = language.Text{En: "It is sent as # rather than #.", Ar: "تُرسل بالنوع # بدل #."}
	unprotected   = language.Text{En: "Its Content-Security-Policy is missing, or another one.", Ar: "ترويسة Content-Security-Policy مفقودة أو مختلفة."}
	brokenOff     = language.Text{En: "It breaks off, or doesn’t end.", Ar: "تنقطع أو لا تنتهي."}
	foreign       = language.Text{En: "It is another page.", Ar: "هي صفحة أخرى."}
	otherLanguage = language.Text{En: "It is in the language # for who has asked for #.", Ar: "هي باللغة # لمن طلب #."}
)

func (p *promise) ask(ctx context.Context, f ShownFile) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", p.c.Agent)
	if f.Language != "" {
		request.Header.Set("Accept", "text/html")
		request.Header.Set("Accept-Language", f.Language.String())
	}
	return p.client.Do(request)
}

// hasPolicy tells whether an answer has a policy, beside others that can but forbid more.
func hasPolicy(header http.Header, policy string) bool {
	for _, line := range header.Values("Content-Security-Policy") {
		for one := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(one) == policy {
				return true
			}
		}
	}
	return policy == ""
}
