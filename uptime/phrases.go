package uptime

import (
	"regexp"
	"unicode/utf8"

	"manus/language"
)

// problemText is what is wrong with a monitor, without its key, in both languages.
func problemText(why string) language.Text {
	message, place := why, ""
	if parts := placed.FindStringSubmatch(why); parts != nil {
		message, place = parts[1], placeText(parts[2], parts[3])
	}
	text, known := problemPhrases.Find(message)
	if !known {
		text.Ar = "قيمة غير مقبولة: " + language.Arabic.Isolate(message)
	}
	return language.Text{En: why, Ar: text.Ar + place}
}

// placed is a message about a condition, which shows where that is wrong: see [condition.Error].
var placed = regexp.MustCompile(`(?s)^(.*)\n    ([^\n]*)\n    ( *)\^$`)

// placeText says in Arabic where something is wrong. It counts rather than points: what stands below
// what depends on the direction that the whole is shown in.
func placeText(condition, before string) string {
	return "، عند المحرف " + language.Arabic.Number(utf8.RuneCountInString(before)+1) + " من " + language.Arabic.Isolate(condition)
}

// problemPhrases are the problems of monitors, for those who make them by the API.
var problemPhrases = language.NewPhrases([]language.Text{
	{En: "use lower-case letters, digits, '-' and '_', at most 64", Ar: "استعمل حروفًا لاتينية صغيرة وأرقامًا و'-' و'_'، 64 على الأكثر"},
	{En: "use one line of at most 100 characters", Ar: "استعمل سطرًا واحدًا لا يزيد على 100 حرف"},
	{En: "use a number below 1, such as 0.999", Ar: "استعمل عددًا أصغر من 1، مثل 0.999"},
	{En: "is of heartbeats only", Ar: "هو للنبضات وحدها"},
	{En: "isn't of heartbeats, as their jobs report by themselves", Ar: "ليس للنبضات، فمهامّها تبلّغ عن نفسها"},
	{En: "use from %s to %s", Ar: "استعمل من %s إلى %s"},
	{En: "use a time with its unit, such as 60s or 5m", Ar: "استعمل مدّة مع وحدتها، مثل 60s أو 5m"},
	{En: "is not shorter than every", Ar: "ليس أقصر من every"},
	{En: "use a number from 1 to 100", Ar: "استعمل عددًا من 1 إلى 100"},
	{En: "use at most 10 times from 1s to 1h, each after the one before", Ar: "استعمل 10 مُدد على الأكثر من 1s إلى 1h، كلّ منها بعد التي قبلها"},
	{En: "use basic or bearer; the secret is %s", Ar: "استعمل basic أو bearer؛ والسرّ في %s"},
	{En: "there is no monitor %s", Ar: "لا يوجد مراقَب باسم %s"},
	{En: "goes round in a ring, or has more than ten above it", Ar: "يدور في حلقة، أو فوقه أكثر من عشرة أصول"},
	{En: "use a number from 1 to 50, or leave it out for more than half of the places", Ar: "استعمل عددًا من 1 إلى 50، أو اتركه لأكثر من نصف المواقع"},
	{En: "is more than there are places in the list", Ar: "أكثر من عدد المواقع في القائمة"},
	{En: "list at most 50 names of places, of lower-case letters, digits and '-'", Ar: "اذكر 50 موقعًا على الأكثر، بأسماء من حروف لاتينية صغيرة وأرقام و'-'"},
	{En: "%s is a credential, which is for auth; its secret is %s of the server's environment", Ar: "الترويسة %s من بيانات الدخول، وهذه مكانها auth؛ والسرّ في %s من بيئة الخادم"},
	{En: "has a password in it, which the API would show; list this monitor in manus.yaml", Ar: "فيه كلمة مرور ستعرضها الواجهة البرمجية؛ اذكر هذا المراقَب في manus.yaml"},
	{En: "is taken where ALLOW_PRIVATE_TARGETS=true is set for the server; or list this monitor in manus.yaml", Ar: "يُقبل إن ضُبط ALLOW_PRIVATE_TARGETS=true للخادم؛ أو اذكر هذا المراقَب في manus.yaml"},
	{En: "is longer than 16 KiB of JSON in all", Ar: "أطول من 16 KiB من JSON في المجموع"},
	{En: "has the same variable for its secret as %s", Ar: "متغيّر سرّه هو نفسه متغيّر %s"},

	// Of what is checked.
	{En: "use http, tcp, tls, dns, icmp, domain or heartbeat", Ar: "استعمل http أو tcp أو tls أو dns أو icmp أو domain أو heartbeat"},
	{En: "use 4 or 6", Ar: "استعمل 4 أو 6"},
	{En: "use an address such as https://app.example.com/health", Ar: "استعمل عنوانًا مثل https://app.example.com/health"},
	{En: "has a password in it; give that as basic authentication", Ar: "فيه كلمة مرور؛ أعطها في auth بالنوع basic"},
	{En: "is an address of a private network, which isn't dialled (ALLOW_PRIVATE_TARGETS=true lets it, and private: true a monitor)", Ar: "عنوان في شبكة خاصّة، ولا يُتّصل به (يسمح بذلك ALLOW_PRIVATE_TARGETS=true، وللمراقَب private: true)"},
	{En: "is an address that no server has on the internet or in a private network, which is never dialled", Ar: "عنوان لا يكون لخادم على الإنترنت ولا في شبكة خاصّة، ولا يُتّصل به أبدًا"},
	{En: "is a link-local or metadata address, which is never dialled", Ar: "عنوان محلّي للوصلة أو لبيانات السحابة، ولا يُتّصل به أبدًا"},
	{En: "use a host and its port, such as db.example.com:5432", Ar: "استعمل المضيف ومنفذه، مثل db.example.com:5432"},
	{En: "use a name, such as example.com", Ar: "استعمل اسمًا، مثل example.com"},
	{En: "use a domain that is registered, such as example.com", Ar: "استعمل نطاقًا مسجَّلًا، مثل example.com"},
	{En: "isn't what is registered; use %s", Ar: "ليس هو النطاق المسجَّل؛ استعمل %s"},
	{En: "is for monitors of type http and tls; take it out", Ar: "هو للمراقَبات من نوعَي http وtls؛ احذفه"},
	{En: "method, headers, body, authentication, redirects and proxy: are for monitors of type http; take them out", Ar: "المفاتيح method وheaders وbody وauth وredirects وproxy للمراقَبات من نوع http؛ احذفها"},
	{En: "record and resolver: are for monitors of type dns; take them out", Ar: "المفتاحان record وresolver للمراقَبات من نوع dns؛ احذفهما"},
	{En: "certificate and ca: are for monitors of type http and tls; take them out", Ar: "المفتاحان certificate وca للمراقَبات من نوعَي http وtls؛ احذفهما"},
	{En: "use a method of HTTP, such as GET or POST", Ar: "استعمل طريقة من طرق HTTP، مثل GET أو POST"},
	{En: "is longer than 64 KiB", Ar: "أطول من 64 KiB"},
	{En: "are longer than 64 KiB", Ar: "أطول من 64 KiB"},
	{En: "use basic or a bearer token, not both", Ar: "استعمل basic أو bearer، لا كليهما"},
	{En: "has a character that no header has", Ar: "فيه محرف لا يكون في ترويسة"},
	{En: "follow at most 20", Ar: "اتبع 20 على الأكثر"},
	{En: "%s isn't a header", Ar: "ليست %s ترويسة"},
	{En: "use an address such as http://proxy.example.com:3128 or socks5://…", Ar: "استعمل عنوانًا مثل http://proxy.example.com:3128 أو socks5://…"},
	{En: "use one of %s", Ar: "استعمل واحدة من: %s"},
	{En: "use an IP address, with a port or without one, such as 9.9.9.9", Ar: "استعمل عنوان IP مع منفذ أو بدونه، مثل 9.9.9.9"},
	{En: "use at most 50 conditions", Ar: "استعمل 50 شرطًا على الأكثر"},

	// Of conditions.
	{En: "the condition is longer than 1000 bytes", Ar: "الشرط أطول من 1000 بايت"},
	{En: "both sides are the same at each check; name what is to be compared, such as status", Ar: "الطرفان لا يتغيّران من فحص إلى آخر؛ سمِّ ما يُقارَن، مثل status"},
	{En: "write what is looked at before %s, such as body", Ar: "اكتب ما يُنظر فيه قبل %s، مثل body"},
	{En: "write the path with [*] before %s", Ar: "اكتب المسار الذي فيه [*] قبل %s"},
	{En: "%s is %s; only a text matches", Ar: "القيمة %s %s، ولا يُطابَق إلا نصّ"},
	{En: "write the regular expression as a text, such as '^OK'", Ar: "اكتب التعبير النمطي نصًّا، مثل '^OK'"},
	{En: "the regular expression can't be used: %s", Ar: "لا يصلح هذا التعبير النمطي: %s"},
	{En: "write a list, such as [200, 204]", Ar: "اكتب قائمة، مثل [200, 204]"},
	{En: "%s is %s, which contains nothing", Ar: "القيمة %s %s، ولا تحتوي على شيء"},
	{En: "%s contains texts; this is %s", Ar: "تحتوي %s على نصوص، وهذا %s"},
	{En: "only numbers and spans of time are less or more; one of the sides is %s", Ar: "لا يُقارَن بالأصغر والأكبر إلا الأعداد والمُدد؛ وأحد الطرفين %s"},
	{En: "a span of time has a unit, such as 2s or 500ms, and a number has none", Ar: "للمدّة وحدة، مثل 2s أو 500ms، وليس للعدد وحدة"},
	{En: "JSON has no spans of time; compare with a number", Ar: "ليس في JSON مُدد؛ قارن بعدد"},
	{En: "%s is a list; use contains, or len(…)", Ar: "القيمة %s قائمة؛ استعمل contains أو len(…)"},
	{En: "%s is %s, and this is %s", Ar: "القيمة %s %s، وهذا %s"},
	{En: "there is no %s; there are %s", Ar: "لا يوجد %s؛ والموجود: %s"},
	{En: `name one header, as in header.content-type or header["Content-Type"]`, Ar: `سمِّ ترويسة واحدة، مثل header.content-type أو header["Content-Type"]`},
	{En: "only what a text, a list or an object has is counted", Ar: "لا يُعدّ إلا ما في نصّ أو قائمة أو كائن"},
	{En: "a place in a list is a whole number", Ar: "الموضع في القائمة عدد صحيح"},
	{En: "write a number, a text or * in brackets", Ar: "اكتب بين القوسين عددًا أو نصًّا أو *"},
	{En: "a list has texts, numbers and spans of time", Ar: "في القائمة نصوص وأعداد ومُدد"},
	{En: "%s is no number and no span of time, such as 2s, 500ms or 1m30s", Ar: "ليست %s عددًا ولا مدّة مثل 2s أو 500ms أو 1m30s"},
	{En: "the quotes aren't closed", Ar: "علامة الاقتباس لم تُغلق"},
	{En: `the quotes aren't closed, or have a \ without a meaning; between single quotes it has none`, Ar: `علامة الاقتباس لم تُغلق، أو فيها \ بلا معنى؛ ولا معنى لها بين علامتين مفردتين`},
	{En: "it ends where %s should stand", Ar: "ينتهي الشرط حيث يُنتظر %s"},
	{En: "%s stands where %s should", Ar: "وُجد %s حيث يُنتظر %s"},
	{En: "&&, || or the end", Ar: "&& أو || أو النهاية"},
	{En: "a closing parenthesis", Ar: "قوس الإغلاق )"},
	{En: "a comparison, such as ==", Ar: "عامل مقارنة، مثل =="},
	{En: "( and what is to be counted", Ar: "( ثمّ ما يُعدّ"},
	{En: "a name after the point", Ar: "اسم بعد النقطة"},
	{En: "a closing bracket", Ar: "قوس الإغلاق ]"},
	{En: "a comma or a closing bracket", Ar: "فاصلة أو قوس الإغلاق ]"},
	{En: "something to compare", Ar: "شيء يُقارَن"},
	{En: "a number", Ar: "عدد"},
	{En: "a span of time", Ar: "مدّة"},
	{En: "a text", Ar: "نصّ"},
	{En: "a list", Ar: "قائمة"},
	{En: "true or false", Ar: "true أو false"},
	{En: "an object", Ar: "كائن"},
	{En: "it is too large", Ar: "هو أكبر من اللازم"},
	{En: "error parsing regexp: %s: `%s`", Ar: "%s: %s"},
	{En: "invalid character class", Ar: "صنف محارف غير صالح"},
	{En: "invalid character class range", Ar: "مدى محارف غير صالح"},
	{En: "invalid escape sequence", Ar: "ما بعد \\ غير معروف"},
	{En: "invalid named capture", Ar: "اسم مجموعة غير صالح"},
	{En: "invalid or unsupported Perl syntax", Ar: "صيغة من Perl غير صالحة أو غير مقبولة"},
	{En: "invalid nested repetition operator", Ar: "تكرار لتكرار"},
	{En: "invalid repeat count", Ar: "عدد تكرار غير صالح"},
	{En: "invalid UTF-8", Ar: "ليس UTF-8 صالحًا"},
	{En: "missing closing ]", Ar: "ينقص قوس الإغلاق ]"},
	{En: "missing closing )", Ar: "ينقص قوس الإغلاق )"},
	{En: "missing argument to repetition operator", Ar: "تكرار بلا ما يُكرَّر"},
	{En: "trailing backslash at end of expression", Ar: "آخره \\ وحدها"},
	{En: "unexpected )", Ar: "قوس ) زائد"},
	{En: "expression nests too deeply", Ar: "تداخله أعمق من اللازم"},
	{En: "expression too large", Ar: "هو أكبر من اللازم"},
	{En: "write %s for %s", Ar: "اكتب %s مكان %s"},
	{En: "%s: a monitor of type %s has no %s", Ar: "الشرط %s: ليس لمراقَب من نوع %s ما اسمه %s"},

	// Of when a job reports.
	{En: "give either every or cron, as the two say when a ping is expected", Ar: "أعطِ every أو cron، لا كليهما: كلّ منهما يقول متى تُنتظر النبضة"},
	{En: "is of cron; without it a ping is expected so long after the last", Ar: "هو مع cron؛ وبدونه تُنتظر النبضة بعد مدّة من سابقتها"},
	{En: "say when a ping is expected: every 1h, or by cron", Ar: "حدّد متى تُنتظر النبضة: كلّ 1h مثلًا، أو بجدول cron"},
	{En: "%s; it is like '0 3 * * *', and its time zone stands in timezone", Ar: "ليس جدولًا صالحًا (%s)؛ يُكتب مثل '0 3 * * *'، ومنطقته الزمنية في timezone"},
	{En: "it is too long", Ar: "أطول من اللازم"},
	{En: "no day is like that", Ar: "لا يوم كهذا"},
	{En: "there is no such time zone", Ar: "لا توجد منطقة زمنية كهذه"},
	{En: "%s is no %s as in a crontab", Ar: "%s ليس %s كما في crontab"},
	{En: "it isn't five fields as in a crontab", Ar: "ليس خمسة حقول كما في crontab"},
	{En: "minute (0-59)", Ar: "دقيقة (0-59)"},
	{En: "hour (0-23)", Ar: "ساعة (0-23)"},
	{En: "day of the month (1-31)", Ar: "يومًا من الشهر (1-31)"},
	{En: "month (1-12)", Ar: "شهرًا (1-12)"},
	{En: "day of the week (0-7)", Ar: "يومًا من الأسبوع (0-7)"},
	{En: "use a name of the time zone database, such as Europe/Berlin", Ar: "استعمل اسمًا من قاعدة المناطق الزمنية، مثل Europe/Berlin"},
}...)
