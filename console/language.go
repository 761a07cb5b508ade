package console

import (
	"golang.org/x/text/language"
)

// languages are those the pages stand in, the usual one first.
var languages = []language.Tag{language.English, language.Arabic}

// maxLanguages bounds the length of the Accept-Language that is looked at.
const maxLanguages = 256

func choose(asked, accepted string) language.Tag {
	for _, tag := range languages {
		if asked == tag.String() {
			return tag
		}
	}
	if len(accepted) > maxLanguages {
		return languages[0]
	}
	wanted, _, err := language.ParseAcceptLanguage(accepted)
	if err != nil {
		return languages[0]
	}
	_, i, _ := language.NewMatcher(languages).Match(wanted...)
	return languages[i]
}

func direction(tag language.Tag) string {
	if tag == language.Arabic {
		return "rtl"
	}
	return "ltr"
}

// words are the pages' words in a language. Every key has both.
func words(tag language.Tag) map[string]string {
	chosen := map[string]string{}
	for key, text := range vocabulary {
		chosen[key] = text.english
		if tag == language.Arabic {
			chosen[key] = text.arabic
		}
	}
	return chosen
}

type bilingual struct{ english, arabic string }

var vocabulary = map[string]bilingual{
	"skip":        {"Skip to the content", "انتقل إلى المحتوى"},
	"other":       {"العربية", "English"},
	"otherLang":   {"ar", "en"},
	"otherDir":    {"rtl", "ltr"},
	"nav":         {"Pages", "الصفحات"},
	"home":        {"Home", "الرئيسية"},
	"docs":        {"API reference", "مرجع الواجهة البرمجية"},
	"title":       {"The production half of a SaaS, in one program", "نصفُ خدمتك الذي يعمل في الإنتاج، في برنامج واحد"},
	"lead":        {"Accounts, plans, metered sessions and health checks: what every product needs around its own idea, running from one command.", "الحسابات والباقات والجلسات المحسوبة وفحوص السلامة: كلّ ما يحتاج إليه أيّ منتج حول فكرته، يعمل بأمر واحد."},
	"readDocs":    {"Read the API reference", "اقرأ مرجع الواجهة"},
	"isReady":     {"Is it ready?", "هل الخدمة جاهزة؟"},
	"what":        {"What it does", "ماذا يقدّم"},
	"accounts":    {"Accounts", "الحسابات"},
	"accountsP":   {"Passwords are hashed with argon2id. Access tokens are short-lived and end with their login; a refresh token works once, and one that is used twice ends its login.", "تُخزَّن كلمات المرور مُجزّأةً بخوارزمية argon2id. رموز الوصول قصيرة العمر وتنتهي بانتهاء تسجيل الدخول، ورمز التجديد يعمل مرّة واحدة، وإن استُعمل مرّتين أُنهي تسجيل دخوله."},
	"sessions":    {"Metered sessions", "الجلسات المحسوبة"},
	"sessionsP":   {"Each session keeps a log of events in a gapless order. Read it as pages or follow it live; a stream that broke off goes on where it was.", "لكلّ جلسة سجلّ أحداث متسلسل بلا فجوات. اقرأه صفحاتٍ أو تابعه لحظةً بلحظة، وإذا انقطع البثّ استُؤنف من حيث توقّف."},
	"plans":       {"Plans and quotas", "الباقات والحصص"},
	"plansP":      {"A month's runs are counted in one atomic step: a thousand requests at once never get more than the plan has left.", "تُحتسب مرّات التشغيل الشهرية في خطوة ذرّية واحدة: ألف طلب في اللحظة نفسها لا تنال أكثر مما بقي في الباقة."},
	"storage":     {"Durable storage", "تخزين لا يضيع"},
	"storageP":    {"An answer means that the data is on the disk. The embedded store survives a killed process with every acknowledged write.", "إذا وصلك الجواب فالبيانات على القرص. ولو أُوقف البرنامج فجأة بقيت كلّ كتابة أُكّدت."},
	"health":      {"Health", "السلامة"},
	"healthP":     {"Live, ready and version endpoints that may be asked as often as you like: each dependency is asked once a second at most.", "نقاط فحص للحياة والجاهزية والإصدار، تُسأل كما تشاء: لا يُسأل كلّ ما تعتمد عليه الخدمة أكثر من مرّة في الثانية."},
	"operations":  {"Made to be operated", "مصمَّم للتشغيل"},
	"operationsP": {"Settings are checked all at once before the start, secrets are never printed, logs are structured, metrics stay on a port of their own.", "تُفحص الإعدادات كلّها دفعة واحدة قبل البدء، ولا تُطبع الأسرار أبدًا، والسجلّات مُهيكلة، وللمقاييس منفذ خاصّ بها."},
	"try":         {"Try it", "جرّبه"},
	"tryP":        {"In a terminal, with the address of this site as ORIGIN:", "في الطرفية، وعنوان هذا الموقع في ORIGIN:"},
	"tryMe":       {"Open an account. The answer has an access token; keep it as TOKEN.", "افتح حسابًا. في الجواب رمز وصول؛ احفظه في TOKEN."},
	"tryOpen":     {"Open a session, for one run of your quota. Keep its id as ID.", "افتح جلسة مقابل مرّة تشغيل من حصّتك. احفظ معرّفها في ID."},
	"tryFollow":   {"Follow its events live.", "تابع أحداثها مباشرة."},
	"tryWrite":    {"In another terminal, write to it and watch.", "ومن طرفية أخرى، اكتب إليها وراقب."},
	"links":       {"For programs", "للبرامج"},
	"version":     {"Version", "الإصدار"},

	"docsLead":    {"Everything below is made from the running program's own routes.", "كلّ ما يلي مأخوذ من مسارات البرنامج نفسه وهو يعمل."},
	"contents":    {"Contents", "المحتويات"},
	"basics":      {"The basics", "الأساسيات"},
	"basicsBase":  {"All paths are below", "كلّ المسارات تحت"},
	"basicsAuth":  {"Send the access token as “Authorization: Bearer …”. It is valid for 15 minutes; POST /auth/refresh gives a new one.", "أرسل رمز الوصول في الترويسة Authorization: Bearer. صلاحيته 15 دقيقة، ويعطيك POST /auth/refresh رمزًا جديدًا."},
	"basicsList":  {"Lists take limit and cursor, and answer items and next_cursor, which is empty at the end.", "تقبل القوائم limit وcursor، وتجيب بالعناصر items وبالمؤشّر next_cursor الذي يكون فارغًا في النهاية."},
	"basicsTime":  {"Times are RFC 3339 in UTC. Ids are opaque: don’t take them apart.", "الأوقات وفق RFC 3339 بالتوقيت العالمي. والمعرّفات نصوص مُعتِمة فلا تُفكّكها."},
	"basicsError": {"Errors are RFC 9457 problems; their type is a link into the list at the end of this page.", "الأخطاء وفق RFC 9457، ونوع كلّ خطأ رابط إلى القائمة في آخر هذه الصفحة."},
	"public":      {"Public", "عام"},
	"known":       {"Signed in", "بعد تسجيل الدخول"},
	"persons":     {"Signed in; no API keys", "بعد تسجيل الدخول، لا بمفتاح"},
	"operators":   {"Operators", "المشغّلون"},
	"parameters":  {"Parameters", "المعاملات"},
	"body":        {"Body", "جسم الطلب"},
	"answer":      {"Answer", "الجواب"},
	"required":    {"required", "مطلوب"},
	"noBody":      {"no body", "بلا جسم"},
	"problems":    {"Problems", "الأخطاء"},
	"problemsP":   {"What an error’s type means, and what to do about it.", "معنى نوع كلّ خطأ وما العمل حياله."},
	"machine":     {"The same for machines:", "والمرجع نفسه للبرامج:"},
}
