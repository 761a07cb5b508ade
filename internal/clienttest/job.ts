// The main job of a product's web front-end, by a client that is generated from the
// server's own OpenAPI document: register, log in, open a session, write a message, read
// the events, get new tokens, sign out. The server's address is the first argument.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[]; exitCode?: number };

type Tokens = components["schemas"]["TokensBody"];

const baseUrl = process.argv[2] + "/api/v1";
const visitor = createClient<paths>({ baseUrl });
const signedIn = (tokens: Tokens) => createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${tokens.access_token}` } });

// got is an answer's body; a problem is thrown in its own words.
function got<T>(answer: { data?: T; error?: components["schemas"]["Problem"]; response: Response }): NonNullable<T> {
  if (answer.error !== undefined) {
    throw new Error(`${answer.response.url}: ${answer.error.type}: ${answer.error.detail}`);
  }
  if (answer.data === undefined || answer.data === null) {
    throw new Error(`${answer.response.url}: ${answer.response.status} has no body`);
  }
  return answer.data;
}

function check(holds: boolean, what: string) {
  if (!holds) {
    throw new Error(what);
  }
}

async function main() {
  const person = { email: "amal@example.com", password: "correct horse battery staple" };
  const registered = got(await visitor.POST("/auth/register", { body: { ...person, full_name: "Amal Haddad" } }));
  check("access_token" in registered && registered.user.email === person.email, "registering didn't sign in");

  const refused = await visitor.POST("/auth/login", { body: { ...person, password: "another one" } });
  check(refused.error?.type === "/problems/bad-credentials", "a wrong password wasn't refused");

  let tokens = got(await visitor.POST("/auth/login", { body: person }));
  let client = signedIn(tokens);
  const once = { params: { header: { "Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324" } }, body: { title: "Quarterly report" } };
  const session = got(await client.POST("/sessions", once));
  const again = await client.POST("/sessions", once);
  check(again.data?.id === session.id && again.response.headers.get("Idempotency-Replayed") === "true", "the session was opened twice");

  const path = { id: session.id };
  const read = await client.GET("/sessions/{id}", { params: { path } });
  const asRead = { path, header: { "If-Match": read.response.headers.get("ETag") ?? "" } };
  got(await client.PATCH("/sessions/{id}", { params: asRead, body: { title: "Yearly report" } }));
  const late = await client.PATCH("/sessions/{id}", { params: asRead, body: { title: "Monthly report" } });
  check(late.response.status === 412 && late.error?.type === "/problems/changed-meanwhile", "a change was overwritten");

  const message = got(
    await client.POST("/sessions/{id}/messages", {
      params: { path: { id: session.id } },
      body: { text: "Summarise the third chapter." },
    }),
  );

  tokens = got(await visitor.POST("/auth/refresh", { body: { refresh_token: tokens.refresh_token } }));
  client = signedIn(tokens);
  const events = got(await client.GET("/sessions/{id}/events", { params: { path: { id: session.id }, query: { after: 0 } } }));
  check(typeof events !== "string" && events.items.length === 1 && events.items[0]?.seq === message.seq, "the message isn't in the log");

  // What is embedded in the code is there: a new key has its id beside its secret.
  const key = got(await client.POST("/auth/api-keys", { body: { name: "laptop", scopes: ["read"] } }));
  const keys = got(await client.GET("/auth/api-keys"));
  check(keys.items.some((k) => k.id === key.id && k.scopes.includes("read")) && key.key.startsWith("mk_"), "the key isn't listed");

  const left = await client.POST("/auth/logout");
  check(left.response.status === 204, "signing out failed");
  const after = await client.GET("/sessions");
  check(after.response.status === 401 && after.error?.type.startsWith("/problems/") === true, "the token outlives the sign-out");
  console.log("done");
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
