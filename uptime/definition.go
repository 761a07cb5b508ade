package uptime

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"manus/uptime/probe"
)

// Definition is what is said of a monitor by the API: the keys of manus.yaml, of which those
// that are left out, or null, have what holds where nothing is said. Read over another one it
// changes what it names (RFC 7396).
type Definition struct {
	Name       *string            `json:"name,omitempty" nullable:"true" maxLength:"100" doc:"As people are told; the id, where it isn't said." ar:"كما يُخبر به الناس؛ وهو المعرّف حيث لا يُذكر."`
	Type       *probe.Kind        `json:"type,omitempty" enum:"http,tcp,dns,icmp,tls,domain,heartbeat"`
	URL        *string            `json:"url,omitempty" nullable:"true" maxLength:"2000" doc:"An address of http; host:port of tcp and tls; a name of the others." ar:"عنوان لنوع http؛ وhost:port لنوعَي tcp وtls؛ واسم لغيرها."`
	Every      *string            `json:"every,omitempty" nullable:"true" maxLength:"30" example:"60s"`
	Timeout    *string            `json:"timeout,omitempty" nullable:"true" maxLength:"30" example:"10s"`
	Expect     []string           `json:"expect,omitzero" nullable:"true" maxItems:"50" doc:"Conditions, all of which have to hold." ar:"شروط لا بدّ أن تتحقّق كلّها."`
	Confirm    []string           `json:"confirm,omitzero" nullable:"true" maxItems:"10" example:"[\"5s\",\"15s\",\"35s\"]" doc:"When it is looked at again before it is down, counted from the first failure." ar:"متى يُنظر إليه ثانية قبل أن يُعدّ متعطّلًا، محسوبًا من أوّل فشل."`
	UpAfter    *int               `json:"up_after,omitempty" nullable:"true" doc:"How many good checks in a row make it up again." ar:"كم فحصًا جيّدًا متتاليًا يجعله عاملًا من جديد."`
	Parent     *string            `json:"parent,omitempty" nullable:"true" maxLength:"64" doc:"A monitor without which this one can't be up." ar:"مراقَب لا يعمل هذا بدونه."`
	SLO        *float64           `json:"slo,omitempty" nullable:"true" example:"0.999"`
	Paused     *bool              `json:"paused,omitempty" nullable:"true"`
	Method     *string            `json:"method,omitempty" nullable:"true" maxLength:"30"`
	Headers    map[string]*string `json:"headers,omitempty" nullable:"true" doc:"Operators see their values, but of those that are credentials." ar:"يرى المشغّلون قيمها، إلّا ما كان من بيانات الدخول."`
	Body       *string            `json:"body,omitempty" nullable:"true" maxLength:"10000"`
	Auth       *AuthDefinition    `json:"auth,omitempty"`
	Redirects  *int               `json:"redirects,omitempty" nullable:"true" doc:"How many are followed." ar:"كم تحويلًا يُتبع."`
	Proxy      *string            `json:"proxy,omitempty" nullable:"true" maxLength:"2000"`
	IP         *int               `json:"ip,omitempty" nullable:"true" doc:"4 or 6 for that version alone." ar:"4 أو 6 لهذا الإصدار وحده."`
	Private    *bool              `json:"private,omitempty" nullable:"true" doc:"It may be at an address of a private network. The API takes it where ALLOW_PRIVATE_TARGETS is true." ar:"يجوز أن يكون في عنوان شبكة خاصّة. تقبله الواجهة البرمجية حيث ALLOW_PRIVATE_TARGETS هو true."`
	ServerName *string            `json:"server_name,omitempty" nullable:"true" maxLength:"255" doc:"The name that a certificate has to have." ar:"الاسم الذي يلزم أن يكون في الشهادة."`
	Record     *string            `json:"record,omitempty" nullable:"true" maxLength:"20"`
	Resolver   *string            `json:"resolver,omitempty" nullable:"true" maxLength:"100"`
	Cron       *string            `json:"cron,omitempty" nullable:"true" maxLength:"200" doc:"When the job of a heartbeat reports, in place of every." ar:"متى تُبلغ مهمّة النبضة، بدل every."`
	Timezone   *string            `json:"timezone,omitempty" nullable:"true" maxLength:"64"`
	Grace      *string            `json:"grace,omitempty" nullable:"true" maxLength:"30"`
	MaxRuntime *string            `json:"max_runtime,omitempty" nullable:"true" maxLength:"30"`
	Locations  *WhereDefinition   `json:"locations,omitempty" doc:"Where it is watched from, and how many of those places have to see it down." ar:"من أين يُراقَب، وكم من هذه المواقع يلزم أن يراه متعطّلًا."`
}

// WhereDefinition is where it is watched from.
type WhereDefinition struct {
	Quorum *int     `json:"quorum,omitempty" nullable:"true" doc:"More than half of the places, where it isn't said." ar:"أكثر من نصف المواقع، حيث لا يُذكر."`
	Places []string `json:"places,omitzero" nullable:"true" maxItems:"50" doc:"All, where none is named." ar:"كلّها، حيث لا يُسمّى أيّ منها."`
}

// AuthDefinition is how a request says who asks. The secret stands in the server's
// environment.
type AuthDefinition struct {
	Type *string `json:"type,omitempty" nullable:"true" maxLength:"20" doc:"basic or bearer; null for none." ar:"basic أو bearer؛ وnull حيث لا شيء."`
	User *string `json:"user,omitempty" nullable:"true" maxLength:"255"`
}

// fileOnly are the keys of manus.yaml that the API doesn't take: the id is the address's, and
// files of the server aren't for its clients to choose.
var fileOnly = []string{"id", "certificate", "ca"}

// monitor is what is said, and what of it can't be read, in a sentence each.
func (d Definition) monitor(id string) (m Monitor, problems []string) {
	period := func(key, text string) time.Duration {
		if text == "" {
			return 0
		}
		length, err := time.ParseDuration(text)
		if err != nil || length == 0 {
			problems = append(problems, key+": use a time with its unit, such as 60s or 5m")
		}
		return length
	}
	m = Monitor{
		ID: id, Name: value(d.Name), Type: value(d.Type), URL: value(d.URL), Every: period("every", value(d.Every)), Timeout: period("timeout", value(d.Timeout)),
		Expect: d.Expect, UpAfter: value(d.UpAfter), Parent: value(d.Parent), SLO: value(d.SLO), Paused: value(d.Paused),
		Method: value(d.Method), Body: value(d.Body), Redirect: d.Redirects, Proxy: value(d.Proxy), IP: value(d.IP), Private: value(d.Private),
		ServerName: value(d.ServerName), Record: value(d.Record), Resolver: value(d.Resolver),
		Cron: value(d.Cron), Timezone: value(d.Timezone), Grace: period("grace", value(d.Grace)), MaxRuntime: period("max_runtime", value(d.MaxRuntime)),
	}
	if d.Confirm != nil {
		again := make([]time.Duration, len(d.Confirm))
		for i, text := range d.Confirm {
			again[i] = period("confirm", text)
		}
		m.Confirm = &again
	}
	if d.Auth != nil {
		m.Auth = Auth{Type: value(d.Auth.Type), User: value(d.Auth.User)}
	}
	if d.Locations != nil {
		m.Locations = Locations{Quorum: value(d.Locations.Quorum), Places: d.Locations.Places}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		if text := d.Headers[name]; text != nil {
			if m.Headers == nil {
				m.Headers = map[string]string{}
			}
			m.Headers[name] = *text
		}
	}
	return m, problems
}

// definition is a monitor as it is said, without credentials.
func (m Monitor) definition() Definition {
	if m.Type == Heartbeat { // nothing is looked at
		m.Timeout, m.Confirm, m.UpAfter = 0, nil, 0
	}
	d := Definition{
		Name: stated(m.Name), Type: stated(m.Type), URL: stated(m.URL), Every: periodOf(m.Every), Timeout: periodOf(m.Timeout),
		Expect: append([]string{}, m.Expect...), UpAfter: stated(m.UpAfter), Parent: stated(m.Parent), SLO: stated(m.SLO), Paused: stated(m.Paused),
		Method: stated(m.Method), Body: stated(m.Body), Redirects: m.Redirect, Proxy: stated(shownProxy(m.Proxy)), IP: stated(m.IP), Private: stated(m.Private),
		ServerName: stated(m.ServerName), Record: stated(m.Record), Resolver: stated(m.Resolver),
		Cron: stated(m.Cron), Timezone: stated(m.Timezone), Grace: periodOf(m.Grace), MaxRuntime: periodOf(m.MaxRuntime),
	}
	if m.Confirm != nil {
		d.Confirm = []string{}
		for _, again := range *m.Confirm {
			d.Confirm = append(d.Confirm, Period(again))
		}
	}
	if m.Auth != (Auth{}) {
		d.Auth = &AuthDefinition{Type: stated(m.Auth.Type), User: stated(m.Auth.User)}
	}
	if m.Locations.Quorum != 0 || len(m.Locations.Places) > 0 {
		d.Locations = &WhereDefinition{Quorum: stated(m.Locations.Quorum), Places: m.Locations.Places}
	}
	for name, text := range m.Headers {
		if d.Headers == nil {
			d.Headers = map[string]*string{}
		}
		if isCredential(name) {
			text = hidden
		}
		d.Headers[name] = &text
	}
	return d
}

// apiProblems are of what the API doesn't take, though manus.yaml does.
func (m Monitor) apiProblems(allowPrivate bool) (problems []string) {
	for name := range m.Headers {
		if isCredential(name) {
			problems = append(problems, "headers: "+name+" is a credential, which is for auth; its secret is "+SecretVariable(m.ID)+" of the server's environment")
		}
	}
	if u, err := url.Parse(m.Proxy); err == nil && u.User != nil {
		problems = append(problems, "proxy: has a password in it, which the API would show; list this monitor in manus.yaml")
	}
	if m.Private && !allowPrivate {
		problems = append(problems, "private: is taken where ALLOW_PRIVATE_TARGETS=true is set for the server; or list this monitor in manus.yaml")
	}
	return problems
}

const hidden = "(hidden)"

// isCredential tells of a header whose value isn't shown.
func isCredential(header string) bool {
	return slices.ContainsFunc([]string{"Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key"}, func(name string) bool { return strings.EqualFold(name, header) })
}

// shownProxy is a proxy's address without its password.
func shownProxy(proxy string) string {
	u, err := url.Parse(proxy)
	if err != nil || u.User == nil {
		return proxy
	}
	u.User = url.User(hidden)
	return u.String()
}

// Period is a time as manus.yaml has it: 60s is 1m, and not 1m0s.
func Period(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func periodOf(d time.Duration) *string {
	if d == 0 {
		return nil
	}
	return stated(Period(d))
}

// value is what a key says, or what none does.
func value[T any](said *T) (v T) {
	if said != nil {
		v = *said
	}
	return v
}

// stated is what there is to say of a value: nothing where it says nothing.
func stated[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

// fieldOf is which key of a definition a problem is about, and what it says of it.
func fieldOf(problem string) (field, why string) {
	key, why, ok := strings.Cut(problem, ": ")
	switch {
	case !ok || strings.ContainsAny(key, " ,"): // about several
		return "body", problem
	case key == "tls":
		return "body.server_name", why
	case key == "authentication" || key == "bearer":
		return "body.auth", why
	default:
		return "body." + key, why
	}
}
