// Reads a status page as its clients do, and prints what they have understood, as JSON.
import ICAL from "ical.js";
import Parser from "rss-parser";
import { Statuspage } from "statuspage.io";

const root = process.argv[2];
const client = new Statuspage("page");
client.setApiUrl(root);

const feed = await new Parser().parseURL(root + "/status/feed.atom");
const calendar = ICAL.parse(await (await fetch(root + "/status/calendar.ics")).text());
const events = new ICAL.Component(calendar).getAllSubcomponents("vevent").map((part) => new ICAL.Event(part));

console.log(JSON.stringify({
	summary: await client.api.getSummary(),
	status: await client.api.getStatus(),
	components: await client.api.getComponents(),
	incidents: await client.api.incidents.getAll(),
	unresolved: await client.api.incidents.getUnresolved(),
	maintenances: await client.api.scheduledMaintenances.getAll(),
	upcoming: await client.api.scheduledMaintenances.getUpcoming(),
	feed: { title: feed.title, items: feed.items.map(({ title, link, isoDate, content }) => ({ title, link, isoDate, content })) },
	events: events.map((e) => ({ uid: e.uid, summary: e.summary, description: e.description, start: e.startDate.toJSDate(), end: e.endDate.toJSDate() })),
}));
