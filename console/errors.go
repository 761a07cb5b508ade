package console

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net"
	"net/http"
	"path"
	"strconv"
	"time"

	"manus/httpapi"
	"manus/language"
)

// errorPage says what has become of a request for a page, and what to do.
type errorPage struct {
	frame
	message
	Status    int
	Do        language.Text
	RequestID string // to be quoted, where something broke
	Again     bool   // asking again may help
}

// ShowProblem shows a problem to a person, as [httpapi.ProblemPage] has it.
func (p *Pages) ShowProblem(w http.ResponseWriter, r *http.Request, problem *httpapi.Problem) bool {
	w.Header().Set("Content-Security-Policy", p.errorPolicy)
	return p.shown(w, r, problem.Status, "error.html", p.errorPage(r, problem))
}

// shown tries to show a page to a person where a program would get something else.
func (p *Pages) shown(w http.ResponseWriter, r *http.Request, status int, name string, data any) bool {
	err := p.tryShow(w, r, status, name, data)
	if err != nil {
		p.Log.ErrorContext(r.Context(), "a page could not be rendered", "page", name, "error", err)
	}
	return err == nil
}

func (p *Pages) errorPage(r *http.Request, problem *httpapi.Problem) errorPage {
	said, known := sayings[path.Base(problem.Type)]
	if !known {
		said = sayings[strconv.Itoa(problem.Status)]
	}
	page := errorPage{
		frame: p.frame(r), message: said.message, Do: said.do, Status: problem.Status,
		Again: !said.final && mayPass(problem.Status) && (r.Method == http.MethodGet || r.Method == http.MethodHead),
	}
	own := language.Text{En: problem.Detail} // in the language of the request
	page.Text = cmp.Or(page.Text, own)
	page.Heading = cmp.Or(page.Heading, language.Text{En: problem.Title})
	page.Do = cmp.Or(page.Do, goBack)
	if problem.Status >= http.StatusInternalServerError {
		page.RequestID = problem.RequestID
	}
	if wait := problem.RetryAfter(); problem.Status == http.StatusTooManyRequests && wait > 0 {
		page.Do = waitThen.Quoting(page.Lang.Duration(wait.Truncate(time.Second) + time.Second))
	}
	if said.alone {
		page.alone(p.inline)
	}
	if problem.Status == http.StatusMisdirectedRequest {
		page.Elsewhere = localAddress(r.Host)
	}
	return page
}

// mayPass tells whether what is answered with a status may be answered better later.
func mayPass(status int) bool {
	return status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}

// localAddress is the same server as a browser on its machine asks for it.
func localAddress(host string) string {
	if _, port, err := net.SplitHostPort(host); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil {
			return "http://localhost:" + strconv.FormatUint(n, 10) + "/"
		}
	}
	return "http://localhost/"
}

// policyWith is what an error's page may do: nothing but to look as it does, whether its style
// is asked for or stands in it.
func policyWith(style template.CSS) string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'self' 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// saying is what a person is told of a problem. What is empty is as the problem has it.
type saying struct {
	message
	do    language.Text
	final bool // waiting doesn't help
	alone bool // whatever else the page asked the server for would be refused too
}

var (
	goBack   = language.Text{En: "Go back and try it in another way, or begin at the home page.", Ar: "ارجع وجرّب طريقة أخرى، أو ابدأ من الصفحة الرئيسية."}
	waitThen = language.Text{En: "Wait #, then try again.", Ar: "انتظر # ثم حاول مرّة أخرى."}
	soon     = language.Text{En: "If it stays like this, look at the status page.", Ar: "وإن بقي الأمر على حاله فانظر صفحة الحالة."}
	notNow   = language.Text{En: "This can't be done just now", Ar: "تعذّر هذا الآن"}
)

// sayings are by the names of problems, then by status.
var sayings = map[string]saying{
	"not-found": {message: message{
		language.Text{En: "There is no such page", Ar: "لا توجد صفحة كهذه"},
		language.Text{En: "Nothing is at this address. It may be mistyped, or what was here is gone.", Ar: "لا شيء في هذا العنوان. قد يكون مكتوبًا خطأً، أو أُزيل ما كان هنا."},
	}, do: language.Text{En: "Look at the address once more, or begin at the home page.", Ar: "راجع العنوان مرّة أخرى، أو ابدأ من الصفحة الرئيسية."}},
	"method-not-allowed": {message: message{
		language.Text{En: "That doesn't work here", Ar: "لا يصلح هذا هنا"},
		language.Text{En: "This address is there, but not for what was sent to it.", Ar: "هذا العنوان موجود، لكنه لا يقبل ما أُرسل إليه."},
	}},
	"rate-limited": {message: message{
		language.Text{En: "Too many requests", Ar: "طلبات أكثر من اللازم"},
		language.Text{En: "More was asked for from your address than is allowed in so short a time. Nothing was done.", Ar: "طُلب من عنوانك أكثر مما يُسمح به في هذه المدّة القصيرة. لم يُفعل شيء."},
	}, alone: true},
	"internal": {message: message{
		language.Text{En: "Something broke on our side", Ar: "حدث خلل لدينا"},
		language.Text{En: "It isn't your fault, and it has been recorded.", Ar: "ليس الخطأ منك، وقد سُجِّل ما حدث."},
	}, do: language.Text{En: "Try again in a moment. If it happens again, tell us the request id.", Ar: "حاول مرّة أخرى بعد لحظات. وإن تكرّر ذلك فأخبرنا بمعرّف الطلب."}},
	"damaged": {message: message{Heading: notNow}, do: language.Text{En: "Look at the status page for how it goes on.", Ar: "تابع صفحة الحالة لمعرفة ما يستجدّ."}, final: true},
	"wrong-host": {message: message{
		language.Text{En: "Open it by another name", Ar: "افتحه باسم آخر"},
		language.Text{En: "This server is only for the machine it runs on, and answers to the name localhost alone.", Ar: "هذا الخادم للجهاز الذي يعمل عليه وحده، ولا يجيب إلا باسم localhost."},
	}, do: language.Text{En: "On that machine, open it as localhost.", Ar: "افتحه من ذلك الجهاز باسم localhost."}, alone: true},
	"503": {message: message{Heading: notNow}, do: soon},
}
