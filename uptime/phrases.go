package uptime

import "manus/language"

// problemText is what is wrong with a monitor, without its key, in both languages.
func problemText(why string) language.Text {
	if text, known := problemPhrases.Find(why); known {
		return text
	}
	return language.Text{En: why, Ar: "قيمة غير مقبولة: " + language.Arabic.Isolate(why)}
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
	{En: "%s: a monitor of type %s has no %s", Ar: "الشرط %s: ليس لمراقَب من نوع %s ما اسمه %s"},

	// Of when a job reports.
	{En: "give either every or cron, as the two say when a ping is expected", Ar: "أعطِ every أو cron، لا كليهما: كلّ منهما يقول متى تُنتظر النبضة"},
	{En: "is of cron; without it a ping is expected so long after the last", Ar: "هو مع cron؛ وبدونه تُنتظر النبضة بعد مدّة من سابقتها"},
	{En: "say when a ping is expected: every 1h, or by cron", Ar: "حدّد متى تُنتظر النبضة: كلّ 1h مثلًا، أو بجدول cron"},
	{En: "%s; it is like '0 3 * * *', and its time zone stands in timezone", Ar: "ليس جدولًا صالحًا (%s)؛ يُكتب مثل '0 3 * * *'، ومنطقته الزمنية في timezone"},
	{En: "use a name of the time zone database, such as Europe/Berlin", Ar: "استعمل اسمًا من قاعدة المناطق الزمنية، مثل Europe/Berlin"},
}...)
