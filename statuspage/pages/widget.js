// Shows how everything is in another page: <script src="https://status.example.com/status/widget.js" async></script>.
// data-lang="ar" chooses the language, else that of the page is taken. The words are the status page's own.
"use strict";
(() => {
	const script = document.currentScript;
	const root = new URL("../", script.src);
	const tag = /^ar(?![a-z])/i.test(script.dataset.lang || document.documentElement.lang) ? "ar" : "en";
	const words = { en: ["Status", "Can’t be read"], ar: ["حالة الخدمة", "تتعذّر القراءة"] }[tag];
	const say = new Intl.RelativeTimeFormat(tag + "-u-nu-latn");
	const tooOld = 180; // seconds
	let last, failed = false;
	const host = document.createElement("span");
	script.after(host);
	const shadow = host.attachShadow({ mode: "closed" });
	const sheet = new CSSStyleSheet();
	sheet.replaceSync(`a { display: inline-flex; gap: .5em; align-items: center; color: inherit; font: inherit; text-decoration: none }
		a:hover { text-decoration: underline }
		i { flex: none; inline-size: .65em; block-size: .65em; border-radius: 50%; background: #7d878e }
		[data-is=up] i { background: #169c6a } [data-is=degraded] i { background: #b87a00; border-radius: 0 }
		[data-is=partial] i { background: #d55e00; clip-path: polygon(50% 0, 100% 100%, 0 100%); border-radius: 0 }
		[data-is=down] i { background: #c0281c; transform: rotate(45deg); border-radius: 0 } [data-is=work] i { background: #2f7cc9 }`);
	shadow.adoptedStyleSheets = [sheet];
	const link = document.createElement("a");
	link.append(document.createElement("i"), document.createElement("span"));
	link.dir = tag === "ar" ? "rtl" : "ltr";
	link.lang = tag;
	shadow.append(link);
	const ago = (seconds) => {
		const [unit, length] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(([, length]) => seconds >= length) || ["second", 1];
		return say.format(-Math.floor(seconds / length), unit);
	};
	const show = () => {
		const seconds = last ? Math.max(0, (Date.now() - Date.parse(last.at)) / 1000) : 0;
		const old = failed || seconds > tooOld;
		host.dataset.is = link.dataset.is = last && !old ? last.is : "unknown";
		const said = last ? last[tag].says : words[0];
		link.lastChild.textContent = (failed ? words[1] + ". " : "") + (last && old ? ago(seconds) + ": " : "") + said;
		link.href = new URL(last ? last[tag].page : "status", root).href;
	};
	const read = async () => {
		try {
			const answer = await fetch(new URL("status/widget.json", root), { signal: AbortSignal.timeout(10_000) });
			if (!answer.ok) { throw answer; }
			[last, failed] = [await answer.json(), false];
		} catch { failed = true; }
		show();
	};
	show();
	read();
	setInterval(() => document.hidden || read(), 60_000);
})();
