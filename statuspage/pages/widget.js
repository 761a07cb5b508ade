// Shows how everything is in another page: <script src="https://status.example.com/status/widget.js" async></script>.
// data-lang="ar" chooses the language, else that of the page is taken.
"use strict";
(() => {
	const script = document.currentScript;
	const root = new URL("../", script.src);
	const arabic = (script.dataset.lang || document.documentElement.lang || "en").toLowerCase().startsWith("ar");
	const words = {
		none: ["All systems operational", "جميع الأنظمة تعمل"],
		minor: ["Some systems are disturbed", "بعض الأنظمة متأثّرة"],
		major: ["Some systems are down", "بعض الأنظمة متوقفة"],
		critical: ["Major outage", "انقطاع واسع"],
		maintenance: ["Maintenance is under way", "أعمال صيانة جارية"],
		unknown: ["Status", "حالة الخدمة"],
	};
	const host = document.createElement("span");
	script.after(host);
	const shadow = host.attachShadow({ mode: "closed" });
	const sheet = new CSSStyleSheet();
	sheet.replaceSync(`a { display: inline-flex; gap: .5em; align-items: center; color: inherit; font: inherit; text-decoration: none }
		a:hover { text-decoration: underline }
		i { inline-size: .65em; block-size: .65em; border-radius: 50%; background: #7d878e }
		[data-is=none] i { background: #169c6a } [data-is=minor] i { background: #b87a00; border-radius: 0 }
		[data-is=major] i { background: #d55e00; clip-path: polygon(50% 0, 100% 100%, 0 100%); border-radius: 0 }
		[data-is=critical] i { background: #c0281c; transform: rotate(45deg); border-radius: 0 } [data-is=maintenance] i { background: #2f7cc9 }`);
	shadow.adoptedStyleSheets = [sheet];
	const link = document.createElement("a");
	link.append(document.createElement("i"), document.createElement("span"));
	link.dir = arabic ? "rtl" : "ltr";
	shadow.append(link);
	const show = (indicator) => {
		host.dataset.is = link.dataset.is = indicator;
		link.lastChild.textContent = (words[indicator] || words.unknown)[arabic ? 1 : 0];
		link.href = new URL("status", root).href;
	};
	const read = () => fetch(new URL("api/v2/status.json", root)).then((answer) => answer.json())
		.then((answer) => show(answer.status.indicator), () => show("unknown"));
	show("unknown");
	read();
	setInterval(() => document.hidden || read(), 60_000);
})();
