package language

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/text/number"
	"golang.org/x/text/unicode/bidi"
)

func TestTheLanguageIsTheOneThatIsPreferred(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]Tag{
		"": English, "en": English, "ar": Arabic, "AR-eg": Arabic, "ar_EG": Arabic, "ar-EG,en;q=0.5": Arabic,
		"en-GB,ar;q=0.9": English, "en;q=0.5, ar;q=0.8": Arabic, "ar; q=0.7, en; q=0.8": English,
		"en;q=0.5,ar;q=0.5": English, "ar;q=0.5,en;q=0.5": Arabic,
		// Of what isn't spoken here, the next best counts.
		"de": English, "de,en;q=0.1": English, "de, ar;q=0.1": Arabic, "zh-Hant-TW, ar": Arabic, "*, ar;q=0.5": Arabic, "*": English,
		// What is refused isn't chosen.
		"ar;q=0": English, "en;q=0, ar;q=0.1": Arabic, "ar;q=0, en": English,
		// Egyptians and Moroccans read Arabic; Persian and Urdu share its script alone.
		"arz": Arabic, "ary,fr;q=0.8": Arabic, "und-EG": Arabic, "fa": English, "fa-IR,ur;q=0.9": English, "arn": English, "ar-Latn": English,
		// Nonsense and malice.
		";;;=": English, "ar;q=abc": English, "ar;q=NaN": Arabic, "ar;q=-1": English, ",,,ar,,,": Arabic, "ar\x00": English, "\xff\xfe": English, "C": English,
		"ar\r\nSet-Cookie: x=1": English, "<script>": English, "'; drop table users; --": English,
		strings.Repeat("ar,", 1000): English, strings.Repeat("-", 1<<20): English, "ar" + strings.Repeat("-x", 60): Arabic,
		strings.Repeat("a-", 128): English, strings.Repeat(";q=", 80): English,
	} {
		if got := Prefer(list); got != want {
			t.Errorf("%.60q: %s, want %s", list, got, want)
		}
	}
}

func FuzzPrefer(f *testing.F) {
	for _, list := range []string{"ar-EG,en;q=0.5", "ar;q=NaN,en;q=NaN", "*", "und-u-rg-egzzzz", "ar-x-a-b-c", "en;q=0,ar;q=1e-45", "sgn-ar", ";q=1", "ar;q=1;q=0"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		got := Prefer(list)
		if got != English && got != Arabic {
			t.Errorf("%q asks for %q", list, got)
		}
		if len(list) > maxPreferences && got != English {
			t.Errorf("%d bytes were looked at", len(list))
		}
		r := httptest.NewRequest(http.MethodGet, "/?lang=ar", nil)
		r.Header["Accept-Language"] = []string{list}
		if Choose(r) != Arabic {
			t.Errorf("%q hides what was asked for by name", list)
		}
		r.URL.RawQuery = ""
		if Choose(r) != got {
			t.Errorf("%q: a request asks for %s", list, Choose(r))
		}
	})
}

func TestARequestCarriesItsLanguage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		query  string
		accept []string
		want   Tag
	}{
		{"", nil, English}, {"", []string{"ar"}, Arabic}, {"lang=ar", []string{"en"}, Arabic}, {"lang=en", []string{"ar"}, English},
		{"lang=ar-SA", nil, Arabic}, {"lang=ar_EG", []string{"en"}, Arabic}, {"lang=en-GB", []string{"ar"}, English}, {"lang=arn", nil, English}, {"lang=xx", []string{"ar"}, Arabic}, {"lang=AR", nil, Arabic}, {"lang=EN", []string{"ar"}, English}, {"lang=&lang=ar", []string{"en"}, English}, {"a=%zz&lang=ar", nil, Arabic},
		{"", []string{"de", "ar"}, Arabic}, {"", []string{"en;q=0.1", "ar;q=0.2"}, Arabic},
		{"", []string{"en;q=0,*"}, Arabic}, {"", []string{"EN-us;q=0", "*;q=0.9"}, Arabic}, {"", []string{"*"}, English}, {"", []string{"en, *;q=0.5"}, English},
		{"", []string{"ar;q=0, *"}, English}, {"", []string{"de, *;q=0.5"}, English}, {"", []string{"ar, *"}, Arabic},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery, r.Header["Accept-Language"] = c.query, c.accept
		ctx := context.WithValue(r.Context(), Key{}, sync.OnceValue(func() Tag { return Choose(r) }))
		if From(ctx) != c.want || Choose(r) != c.want {
			t.Errorf("%q %q: %s, %s", c.query, c.accept, From(ctx), Choose(r))
		}
		// Once found, it stays.
		r = r.WithContext(ctx)
		r.URL.RawQuery, r.Header = "", http.Header{"Accept-Language": {"ar"}}
		if From(r.Context()) != c.want {
			t.Errorf("%q %q: it is %s now", c.query, c.accept, From(r.Context()))
		}
	}
	if From(t.Context()) != English {
		t.Error("a context that carries none isn't English")
	}
}

func TestWhatALanguageIsToHTMLAndHTTP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tag             Tag
		name, direction string
	}{{English, "en", "ltr"}, {Arabic, "ar", "rtl"}, {"", "en", "ltr"}, {"de", "en", "ltr"}} {
		header := http.Header{"Vary": {"Origin"}}
		c.tag.Mark(header)
		c.tag.Mark(header) // as a problem in place of another one
		if c.tag.String() != c.name || c.tag.Direction() != c.direction || header.Get("Content-Language") != c.name || strings.Join(header["Vary"], ",") != "Origin,Accept-Language" {
			t.Errorf("%q: %s, %s, %v", string(c.tag), c.tag, c.tag.Direction(), header)
		}
	}
}

func TestATextIsSaidInTheLanguageThatItHas(t *testing.T) {
	t.Parallel()
	both := Text{En: "Mail", Ar: "البريد"}
	if both.In(English) != "Mail" || both.In(Arabic) != "البريد" || both.In("") != "Mail" {
		t.Errorf("%q, %q", both.In(English), both.In(Arabic))
	}
	if one := (Text{En: "Acme"}); one.In(Arabic) != "Acme" {
		t.Errorf("%q", one.In(Arabic))
	}
	if one := (Text{Ar: "أكمي"}); one.In(English) != "أكمي" {
		t.Errorf("%q", one.In(English))
	}
	var fromJSON, fromYAML Text
	if err := json.Unmarshal([]byte(`{"en":"Mail","ar":"البريد"}`), &fromJSON); err != nil || fromJSON != both {
		t.Errorf("%v, %v", fromJSON, err)
	}
	if err := yaml.Unmarshal([]byte("{en: Mail, ar: البريد}"), &fromYAML); err != nil || fromYAML != both {
		t.Errorf("%v, %v", fromYAML, err)
	}
}

// forms are named after themselves.
var forms = Forms{"zero #", "one #", "two #", "few #", "many #", "other #"}

// samples reads CLDR's notation of numbers: "3~10, 103".
func samples(t *testing.T, list string) []int {
	t.Helper()
	var all []int
	for part := range strings.SplitSeq(list, ", ") {
		low, high, _ := strings.Cut(part, "~")
		from, err := strconv.Atoi(low)
		if err != nil {
			t.Fatal(err)
		}
		to := from
		if high != "" {
			if to, err = strconv.Atoi(high); err != nil {
				t.Fatal(err)
			}
		}
		for n := from; n <= to; n++ {
			all = append(all, n)
		}
	}
	return all
}

// The numbers are the samples of CLDR's plurals.xml, and some beyond.
func TestEachNumberHasItsForm(t *testing.T) {
	t.Parallel()
	text := Plural{En: forms, Ar: forms}
	for _, c := range []struct {
		tag        Tag
		form, list string
	}{
		{English, "one", "1"},
		{English, "zero", "0"}, // where there are words for it; CLDR has none
		{English, "other", "2~16, 100, 1000, 10000, 100000, 1000000, 21, 101, 1001"},
		{Arabic, "zero", "0"},
		{Arabic, "one", "1"},
		{Arabic, "two", "2"},
		{Arabic, "few", "3~10, 103~110, 1003, 1000003, 20000010"},
		{Arabic, "many", "11~26, 111, 1011, 99, 999, 9999999"},
		{Arabic, "other", "100~102, 200~202, 300~302, 400~402, 500~502, 600, 1000, 10000, 100000, 1000000, 10000000, 10000001, 2000000000"},
	} {
		for _, n := range samples(t, c.list) {
			if got, want := text.In(c.tag, n), c.form+" "+c.tag.Number(n); got != want {
				t.Errorf("%s, %d: %q, want %q", c.tag, n, got, want)
			}
		}
	}
}

func TestAFormThatIsMissingIsAsTheOther(t *testing.T) {
	t.Parallel()
	sessions := Plural{
		En: Forms{One: "# session", Other: "# sessions"},
		Ar: Forms{Zero: "لا جلسات", One: "جلسة واحدة", Two: "جلستان", Few: "# جلسات", Many: "# جلسة", Other: "# جلسة"},
	}
	for n, want := range map[int][2]string{
		0: {"0 sessions", "لا جلسات"}, 1: {"1 session", "جلسة واحدة"}, 2: {"2 sessions", "جلستان"}, 7: {"7 sessions", "7 جلسات"},
		42: {"42 sessions", "42 جلسة"}, 1100: {"1,100 sessions", "1,100 جلسة"}, -3: {"0 sessions", "لا جلسات"}, -1 << 63: {"0 sessions", "لا جلسات"},
	} {
		if en, ar := sessions.In(English, n), sessions.In(Arabic, n); en != want[0] || ar != want[1] {
			t.Errorf("%d: %q, %q", n, en, ar)
		}
	}
	if got := (Plural{Ar: Forms{Other: "# يوم"}}).In(Arabic, 2); got != "2 يوم" {
		t.Errorf("got %q", got)
	}
}

func TestNumbersAreGrouped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n      any
		en, ar string
	}{
		{0, "0", "0"}, {1234567, "1,234,567", "1,234,567"}, {int64(-12), "-12", "\u200e-12"}, {99.956, "99.96", "99.96"}, {uint8(7), "7", "7"},
	} {
		if en, ar := English.Number(c.n, number.MaxFractionDigits(2)), Arabic.Number(c.n, number.MaxFractionDigits(2)); en != c.en || ar != c.ar {
			t.Errorf("%v: %q, %q", c.n, en, ar)
		}
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, time.July, 31, 22, 5, 59, 0, time.FixedZone("west", -5*60*60))
	for _, c := range []struct{ got, want string }{
		{English.Date(at), "31 July 2026"}, {Arabic.Date(at), "31 يوليو 2026"},
		{English.Moment(at), "1 August 2026, 03:05 UTC"}, {Arabic.Moment(at), "1 أغسطس 2026، الساعة 03:05 بالتوقيت العالمي"},
		{English.Between(at, at.Add(time.Hour)), "1 August 2026, 03:05 – 04:05 UTC"}, {Arabic.Between(at, at.Add(time.Hour)), "1 أغسطس 2026، الساعة 03:05 – 04:05 بالتوقيت العالمي"},
		{English.Between(at, at.AddDate(0, 0, 1)), "1 August 2026, 03:05 UTC – 2 August 2026, 03:05 UTC"},
		{English.Ago(0), "now"}, {English.Ago(61 * time.Second), "1 minute ago"}, {English.Ago(59 * time.Minute), "59 minutes ago"}, {English.Ago(49 * time.Hour), "2 days ago"},
		{Arabic.Ago(-time.Hour), "الآن"}, {Arabic.Ago(19 * time.Second), "قبل 19 ثانية"}, {Arabic.Ago(2 * time.Hour), "قبل ساعتين"}, {Arabic.Ago(75 * time.Hour), "قبل 3 أيّام"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	seen := map[Text]bool{}
	for month := time.January; month <= time.December; month++ {
		at := time.Date(2026, month, 1, 0, 0, 0, 0, time.UTC)
		if want := "1 " + month.String() + " 2026"; English.Date(at) != want {
			t.Errorf("%q, want %q", English.Date(at), want)
		}
		seen[months[month-1]] = true
	}
	if len(seen) != 12 {
		t.Errorf("there are %d months", len(seen))
	}
}

// runs is how a line of right-to-left text is laid out: its stretches of one
// direction, by the Unicode bidirectional algorithm.
func runs(t *testing.T, line string) []string {
	t.Helper()
	var paragraph bidi.Paragraph
	if _, err := paragraph.SetString(line, bidi.DefaultDirection(bidi.RightToLeft)); err != nil {
		t.Fatal(err)
	}
	order, err := paragraph.Order()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for i := range order.NumRuns() {
		if run := order.Run(i); run.Direction() == bidi.LeftToRight {
			all = append(all, run.String())
		}
	}
	return all
}

func TestWhatIsIsolatedIsNotReversed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"2026-07-31 14:05 UTC", "2001:db8::1", "curl/8.5 (x86_64)"} {
		bare, isolated := runs(t, "الوقت: "+text), runs(t, "الوقت: "+Arabic.Isolate(text))
		if len(isolated) != 1 || isolated[0] != text {
			t.Errorf("%q is torn into %q", text, isolated)
		}
		if len(bare) == 1 && bare[0] == text {
			t.Errorf("%q needs no isolation, so this shows nothing", text)
		}
	}
	if got := English.Isolate("203.0.113.9"); got != "203.0.113.9" {
		t.Errorf("English has %q", got)
	}
}

func TestNoneHasAFormOfItsOwnInEnglishToo(t *testing.T) {
	t.Parallel()
	p := Plural{En: Forms{Zero: "none", One: "one", Other: "# things"}}
	for n, want := range []string{"none", "one", "2 things"} {
		if got := p.In(English, n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	if got := (Plural{En: Forms{One: "one", Other: "# things"}}).In(English, 0); got != "0 things" {
		t.Error(got)
	}
}

func TestADurationIsToldInItsTwoLargestUnits(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		d      time.Duration
		en, ar string
	}{
		{-time.Hour, "less than a second", "أقلّ من ثانية"},
		{999 * time.Millisecond, "less than a second", "أقلّ من ثانية"},
		{time.Second, "1 second", "ثانية"},
		{2 * time.Second, "2 seconds", "ثانيتان"},
		{11 * time.Second, "11 seconds", "11 ثانية"},
		{time.Minute, "1 minute", "دقيقة"},
		{90 * time.Second, "1 minute 30 seconds", "دقيقة و30 ثانية"},
		{time.Hour + 30*time.Second, "1 hour", "ساعة"},
		{3*time.Hour + 2*time.Minute + 59*time.Second, "3 hours 2 minutes", "3 ساعات ودقيقتان"},
		{day, "1 day", "يوم"},
		{2*day + 23*time.Hour + 59*time.Minute, "2 days 23 hours", "يومان و23 ساعة"},
		{100 * day, "100 days", "100 يوم"},
	} {
		if en, ar := English.Duration(c.d), Arabic.Duration(c.d); en != c.en || ar != c.ar {
			t.Errorf("%s: %q, %q", c.d, en, ar)
		}
	}
}

func TestAMomentIsByTheClockOfItsZone(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at     string
		zone   *time.Location
		en, ar string
	}{
		{"2026-07-31T22:30:59Z", time.UTC, "31 July 2026, 22:30 UTC", "31 يوليو 2026، الساعة 22:30 بالتوقيت العالمي"},
		{"2026-07-31T22:30:59Z", berlin, "1 August 2026, 00:30 CEST", "1 أغسطس 2026، الساعة 00:30 بتوقيت Europe/Berlin"},
		{"2026-12-31T23:30:00Z", berlin, "1 January 2027, 00:30 CET", "1 يناير 2027، الساعة 00:30 بتوقيت Europe/Berlin"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if en, ar := English.MomentIn(at, c.zone), Arabic.MomentIn(at, c.zone); en != c.en || ar != c.ar {
			t.Errorf("%s: %q, %q", c.at, en, ar)
		}
	}
}

// TestForeignValuesAreQuotedInTurn: each is one line, and what it says is no place for another.
func TestForeignValuesAreQuotedInTurn(t *testing.T) {
	t.Parallel()
	got := Text{En: "# is in #.", Ar: "# في #."}.Quoting("a#\n\u2066b", "c\u200b\u202e")
	if want := (Text{En: "a# b is in c.", Ar: "\u2068a# b\u2069 في \u2068c\u2069."}); got != want {
		t.Errorf("got %q", got)
	}
}

func TestShortSpansHaveTheirUnit(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]Text{
		12700 * time.Microsecond: {En: "12.7 ms", Ar: "12.7 ملّي ثانية"},
		1250 * time.Millisecond:  {En: "1.25 s", Ar: "1.25 ث"},
		-time.Second:             {En: "0 ms", Ar: "0 ملّي ثانية"},
	} {
		if got := Both(func(tag Tag) string { return tag.Took(d) }); got != want {
			t.Errorf("%v is %q and %q", d, got.En, got.Ar)
		}
	}
}

func TestAPhraseIsFoundWithWhatDiffers(t *testing.T) {
	t.Parallel()
	phrases := NewPhrases(Text{"use 4 or 6", "استعمل 4 أو 6"}, Text{"from %s to %s", "إلى %s من %s"}) // in turn, whatever the words between
	for message, want := range map[string]string{"use 4 or 6": "استعمل 4 أو 6", "from a% to b": "إلى \u2068a%\u2069 من \u2068b\u2069", "from a\nb to %s": "إلى \u2068a\nb\u2069 من \u2068%s\u2069", "from use 4 or 6 to x": "إلى استعمل 4 أو 6 من \u2068x\u2069"} {
		if text, known := phrases.Find(message); !known || text.En != message || text.Ar != want {
			t.Errorf("%q is said as %+v", message, text)
		}
	}
	if text, known := phrases.Find("from a"); known || text != (Text{En: "from a"}) {
		t.Errorf("found %+v", text)
	}
	if text, known := NewPhrases(Text{"%s", "قيل %s"}).Find("a"); !known || text.Ar != "قيل \u2068a\u2069" {
		t.Errorf("found %+v", text)
	}
}
