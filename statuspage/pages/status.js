// Keeps the page as it is now: it reads it again each half a minute, and says how old it is. What is too old is
// said to be no longer known. The page is whole without it.
"use strict";
(() => {
	const every = 30_000, tooOld = 150; // seconds: several reads have failed, or it is out of an old cache
	const locale = document.documentElement.lang + "-u-nu-latn";
	const [plain, now] = ["always", "auto"].map((numeric) => new Intl.RelativeTimeFormat(locale, { numeric }));
	const title = document.title;
	let ahead = 0, reading = false; // by how much the server's clock is ahead
	const ago = (seconds) => {
		const [unit, length] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(([, length]) => seconds >= length) || ["second", 1];
		return (unit === "second" ? now : plain).format(-Math.floor(seconds / length), unit);
	};
	const age = () => {
		const time = document.querySelector("[data-updated] time");
		const seconds = time ? Math.round((Date.now() + ahead - Date.parse(time.dateTime)) / 1000) : 0;
		if (!time || seconds < -5) { return; } // a clock that is wrong
		time.title ||= time.textContent;
		for (const old of [time.firstChild, ...document.querySelectorAll("[data-old]")]) { old.textContent = ago(Math.max(seconds, 0)); }
		if (!reading && !document.hidden) { lose(seconds > tooOld); }
	};
	const lose = (is) => {
		const [main, lost] = ["[data-live]", "[data-lost]"].map((s) => document.querySelector(s));
		if (!lost || main.classList.contains("lost") === is) { return; }
		main.classList.toggle("lost", is);
		[lost.hidden, lost.previousElementSibling.hidden] = [!is, is];
		document.title = is ? lost.querySelector("h1").textContent : title;
	};
	const read = async () => {
		if (document.hidden || reading) { return; }
		reading = true;
		try {
			const answer = await fetch(location.href, { cache: "no-cache", headers: { Accept: "text/html" }, signal: AbortSignal.timeout(10_000) });
			if (!answer.ok) { return; }
			const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
			const [here, there] = [document, fresh].map((d) => d.querySelector("[data-live]"));
			if (!there) { return; }
			const sent = Date.parse(answer.headers.get("Date")) + 1000 * (answer.headers.get("Age") || 0);
			if (sent) { ahead = sent - Date.now(); }
			const open = new Map([...here.querySelectorAll("summary")].map((s) => [s.textContent, s.parentElement.open]));
			for (const summary of there.querySelectorAll("summary")) {
				summary.parentElement.open = open.get(summary.textContent) ?? summary.parentElement.open;
			}
			const held = document.activeElement?.getAttribute("href");
			here.className = there.className;
			here.replaceChildren(...there.childNodes);
			document.title = fresh.title;
			if (held) { [...here.querySelectorAll("a")].find((a) => a.getAttribute("href") === held)?.focus({ preventScroll: true }); }
		} catch { /* the next time, perhaps */ } finally {
			reading = false;
			age();
		}
	};
	age();
	if (document.querySelector(".lost")) { read(); }
	setInterval(age, 1000);
	setInterval(read, every);
	document.addEventListener("visibilitychange", read);
})();
