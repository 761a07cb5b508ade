package console

import (
	"cmp"
	"net/http"
	"slices"

	"manus/httpapi"
	"manus/language"
)

// problemPage explains a kind of problem, whose type is the page's address; problemsPage
// lists all.
type problemPage struct {
	frame
	Kind   httpapi.Kind
	Advice language.Text
}

type problemsPage struct {
	frame
	Problems httpapi.Kinds
}

// StatusText is the status in the page's language.
func (p problemPage) StatusText() string { return httpapi.StatusText(p.Kind.Status, p.Lang) }

func (p *Pages) problemRoutes(api *httpapi.API) {
	page := func(pattern string, show http.HandlerFunc) {
		api.Handle(httpapi.Route{Access: httpapi.Public, Pattern: pattern, Caching: revalidated}, show)
	}
	page("GET "+httpapi.ProblemsPath, func(w http.ResponseWriter, r *http.Request) {
		p.show(w, r, http.StatusOK, "problems.html", problemsPage{p.frame(r), byName(api.Problems())})
	})
	page("GET "+httpapi.ProblemsPath+"/{name}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		switch kind, ok := api.Problem(name); {
		case !ok:
			httpapi.WriteError(w, r, nil, httpapi.ErrNotFound)
		case kind.Name != name:
			http.Redirect(w, r, kind.Type(), http.StatusPermanentRedirect)
		default:
			p.show(w, r, http.StatusOK, "problem.html", problemPage{p.frame(r), kind, adviceFor(kind)})
		}
	})
}

// byName are the problems in the order of their names.
func byName(problems httpapi.Kinds) httpapi.Kinds {
	slices.SortFunc(problems, func(a, b httpapi.Kind) int { return cmp.Compare(a.Name, b.Name) })
	return problems
}

// adviceFor is what a program may do about a problem: that is the same for all of its status.
func adviceFor(kind httpapi.Kind) language.Text {
	if advice, ok := advices[kind.Status]; ok {
		return advice
	}
	if kind.Status >= http.StatusInternalServerError {
		return advices[http.StatusServiceUnavailable]
	}
	return advices[http.StatusBadRequest]
}

var advices = map[int]language.Text{
	http.StatusBadRequest:          {En: "Sending the same again gives the same answer: change the request first.", Ar: "تكرار الطلب نفسه يعطي الجواب نفسه: غيّر الطلب أوّلًا."},
	http.StatusUnprocessableEntity: {En: "Sending the same again gives the same answer. Where the body has “errors”, each names a field and what it should be.", Ar: "تكرار الطلب نفسه يعطي الجواب نفسه. وإن كان في الجسم errors فكلّ عنصر منه يسمّي حقلًا وما ينبغي أن يكونه."},
	http.StatusUnauthorized:        {En: "Get new tokens by POST /auth/refresh, once, and send the request again; if that is refused too, sign in again.", Ar: "اطلب رموزًا جديدة من POST /auth/refresh مرّة واحدة ثم أعد إرسال الطلب؛ فإن رُفض أيضًا فسجّل الدخول من جديد."},
	http.StatusForbidden:           {En: "Sending the same again doesn’t help: another account or another key is needed.", Ar: "لا يفيد تكرار الطلب: يلزم حساب آخر أو مفتاح آخر."},
	http.StatusNotFound:            {En: "Sending the same again doesn’t help: look whether the address and the id in it are right. What belongs to somebody else looks the same.", Ar: "لا يفيد تكرار الطلب: تحقّق من العنوان ومن المعرّف الذي فيه. وما يملكه غيرك يبدو كذلك أيضًا."},
	http.StatusPaymentRequired:     {En: "Waiting for some minutes doesn’t help: this is the plan’s allowance, and no limit of requests. It is there again in the next period, or with a larger plan.", Ar: "لا يفيد الانتظار دقائق: هذا رصيد الباقة وليس حدًّا للطلبات. يعود في الفترة التالية أو مع باقة أكبر."},
	http.StatusConflict:            {En: "Read what is there now, and decide anew.", Ar: "اقرأ الحال كما هي الآن ثم قرّر من جديد."},
	http.StatusPreconditionFailed:  {En: "Read it again, with its new ETag, and decide anew.", Ar: "اقرأه من جديد مع وسمه ETag الجديد ثم قرّر."},
	http.StatusTooManyRequests:     {En: "Wait as long as Retry-After says, in seconds, then send the same again. This is no allowance of the plan: nothing is used up by waiting.", Ar: "انتظر المدّة المذكورة في Retry-After بالثواني ثم أعد إرسال الطلب نفسه. ليس هذا من رصيد الباقة، والانتظار لا يستهلك شيئًا."},
	http.StatusServiceUnavailable:  {En: "Send the same again, after as long as Retry-After says or a few seconds, and more slowly each time. Quote the request id when asking for help.", Ar: "أعد إرسال الطلب نفسه بعد المدّة المذكورة في Retry-After أو بعد ثوانٍ، وأبطئ في كلّ مرّة. واذكر معرّف الطلب حين تطلب المساعدة."},
}
