// Rates pages, by their categories: node rate.mjs BROWSER PRESET CATEGORIES URL...
// prints a line of JSON for each.
import * as launcher from "chrome-launcher";
import lighthouse, { desktopConfig } from "lighthouse";

const [chromePath, preset, categories, ...urls] = process.argv.slice(2);
const browser = await launcher.launch({ chromePath, chromeFlags: ["--headless=new", "--no-sandbox", "--disable-gpu"] });
try {
	for (const url of urls) {
		const { lhr } = await lighthouse(url, { port: browser.port, logLevel: "error", onlyCategories: categories.split(",") }, preset === "desktop" ? desktopConfig : undefined);
		const scores = {}, faults = [];
		for (const c of Object.values(lhr.categories)) {
			scores[c.id] = Math.round(100 * c.score);
			for (const { id, weight } of c.auditRefs) {
				const a = lhr.audits[id];
				if (weight > 0 && a.score !== null && a.score < 1) faults.push(`${id}: ${a.title} ${a.displayValue ?? ""} ${JSON.stringify(a.details?.items ?? "").slice(0, 300)}`);
			}
		}
		if (lhr.runtimeError) faults.push(lhr.runtimeError.message);
		console.log(JSON.stringify({ url, scores, faults }));
	}
} finally {
	await browser.kill();
}
