// Keeps the page as it is now: it reads it again each half a minute, and says how old it is. The page is whole
// without it.
"use strict";
(() => {
	const every = 30_000;
	const say = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });
	const age = () => {
		const time = document.querySelector("[data-updated] time");
		const seconds = time ? Math.round((Date.parse(time.dateTime) - Date.now()) / 1000) : 0;
		if (!time || seconds > 5) { return; } // a clock that is wrong
		time.title ||= time.textContent;
		time.firstChild.textContent = seconds > -60 ? say.format(Math.min(seconds, 0), "second") : say.format(Math.ceil(seconds / 60), "minute");
	};
	const read = async () => {
		if (document.hidden) { return; }
		try {
			const answer = await fetch(location.href, { cache: "no-cache", headers: { Accept: "text/html" } });
			if (!answer.ok) { return; }
			const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
			const [here, there] = [document, fresh].map((d) => d.querySelector("[data-live]"));
			if (!there) { return; }
			const open = [...here.querySelectorAll("details[open] > summary")].map((s) => s.textContent);
			for (const summary of there.querySelectorAll("summary")) {
				summary.parentElement.open ||= open.includes(summary.textContent);
			}
			const held = document.activeElement?.getAttribute("href");
			here.replaceChildren(...there.childNodes);
			document.title = fresh.title;
			if (held) { [...here.querySelectorAll("a")].find((a) => a.getAttribute("href") === held)?.focus({ preventScroll: true }); }
			age();
		} catch { /* the next time, perhaps */ }
	};
	age();
	setInterval(age, 1000);
	setInterval(read, every);
	document.addEventListener("visibilitychange", read);
})();
