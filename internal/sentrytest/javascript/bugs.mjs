// Thirty bugs, each of which is met in several ways. The number v says in which: with which
// values and through which caller. That two events are of one bug was decided here, by what
// somebody would have to mend, before anything grouped them.
const users = ['amal', 'omar', 'layla', 'noor'];
const goods = ['tea', 'coffee', 'dates', 'bread'];
const numbers = [17, 40413, 8, 923];
const ids = ['0b7c5d0a-6c1f-4a53-9a3b-7c0a4bb4f0d1', 'f3b1a9d2-0d5e-4f6a-8a1c-2e9b7d6c5a40', '5d41402a-bc4b-4a76-b971-9d911017c592', '7d793037-a076-4890-9c2b-4f5c6d7e8f90'];
const hashes = ['da39a3ee5e6b4b0d3255bfef95601890afd80709', '2fd4e1c67a2d28fced849ee1bb76e7391b93eb12', 'de9f2c7fd25e1b3afad3e85a0bd17d9b100db4b3', 'a9993e364706816aba3e25717850c26c9cd0d89d'];

class PaymentError extends Error { name = 'PaymentError'; }
class HttpError extends Error { name = 'HttpError'; }
class ReportError extends Error { name = 'ReportError'; }

function fail(message) { throw new Error(message); } // one helper of unrelated bugs
function check(method, path, status) { throw new HttpError(`${method} ${path} answered ${status}`); }
function divide(amount, rates) { return amount / rates.eur.value; }
function deep(n) { if (n === 0) { return undefined.end; } return deep(n - 1) + 1; }
function query(host) { throw new Error(`connect ETIMEDOUT ${host}:5432`); }
function chart(points) { return points.at(-1).y; }
function* pages(n) { yield n; throw new Error(`page ${n} has no successor`); }

class Cart { constructor(v) { this.v = v; } total() { throw new TypeError(`the price of ${goods[this.v]} is NaN`); } }
class Invoice { constructor(v) { this.v = v; } total() { throw new TypeError(`invoice ${numbers[this.v]} has no lines`); } }

function showProfile(v) { const user = { name: users[v] }; return user.profile.picture; }
function payOrder(v) { throw new PaymentError(`order ${numbers[v]} can't be paid`); }
function reserve(v) { throw new Error(`there is no stock of ${goods[v]}`); }
function loadOrder(v) { check('GET', `/orders/${numbers[v]}`, 404); }
function saveOrder(v) { check('POST', `/orders/${numbers[v]}`, 500); }
function readConfig() { fail('the configuration has no name'); }
function sendMail(v) { fail(`mail to ${users[v]} was refused`); }
function printReceipt() { fail('the printer has no paper'); }
function listCategories(v) { return deep(5 + 9 * v); }
function resume(v) { throw new Error(`session ${ids[v]} has expired`); }
async function loadStock(v) { await null; query(`10.0.${v}.7`); }
function sumUp(v) { return [1, 2, null].map((x) => x.value + v); }
function parseConfig(v) { return JSON.parse(['{a', '[1,', '{"b":', 'nul'][v]); }
function parseCart(v) { return JSON.parse(['}', '<html>', '', '{"items":}'][v]); }
// Two paths to one bug: rates that have no euro.
function convert(v) { return v % 2 ? refund(v) : checkout(v); }
function reserveSeats(v) { return new Array(-1 - v); }
function dailyReport(v) { try { query(`db-${v + 1}.internal`); } catch (cause) { throw new ReportError('the report failed', { cause }); } }
function weeklyReport() { try { chart([]); } catch (cause) { throw new ReportError('the report failed', { cause }); } }
function showCart(v) { return new Cart(v).total(); }
function showInvoice(v) { return new Invoice(v).total(); }
function deliveryDay(v) { return new Date(`2026-13-0${v + 1}`).toISOString(); }
function openShop(v) { return new URL(`//${goods[v]}`); }
function connectMail(v) { throw new Error(`getaddrinfo ENOTFOUND mx${v}.example.com`); }
function signIn(v) { throw new Error(`there is no account ${users[v]}@example.com`); }
function readObject(v) { throw new Error(`object ${hashes[v]} is lost`); }
function listPages(v) { return [...pages(numbers[v])]; }
function runHook(v) { const hooks = { before: users[v] }; return hooks.before(); }
async function flushLater(v) { await new Promise((resolve, reject) => setTimeout(() => reject(new RangeError(`batch ${ids[v]} came too late`)), 1)); }

// Functions are declared above, so that a minifier finds names for them that tell nothing of labels.
const bugs = [
  ['user-without-profile', showProfile],
  ['order-unpaid', payOrder],
  ['stock-missing', reserve],
  ['upstream-404', loadOrder],
  ['upstream-500', saveOrder],
  ['helper-config', readConfig],
  ['helper-mail', sendMail],
  ['helper-printer', printReceipt],
  ['recursion-categories', listCategories],
  ['session-expired', resume],
  ['database-timeout', loadStock],
  ['anonymous-map', sumUp],
  ['config-json', parseConfig],
  ['cart-json', parseCart],
  ['rate-missing', convert],
  ['disk-message', { message: (v) => `the disk is ${91 + v}% full` }],
  ['queue-message', { message: (v) => `${numbers[v]} jobs wait in the queue of ${['mails', 'alerts', 'mails', 'backups'][v]}` }],
  ['array-length', reserveSeats],
  ['report-database', dailyReport],
  ['report-chart', weeklyReport],
  ['cart-total', showCart],
  ['invoice-total', showInvoice],
  ['invalid-date', deliveryDay],
  ['invalid-url', openShop],
  ['mail-host', connectMail],
  ['account-unknown', signIn],
  ['object-lost', readObject],
  ['generator-end', listPages],
  ['not-a-function', runHook],
  ['late-callback', flushLater],
];

function checkout(v) { return divide(numbers[v], { usd: { value: 1 } }); }
function refund(v) { const amount = -numbers[v]; return divide(amount, {}); }

async function fromPage(f, v) { return await f(v); }
async function fromJob(f, v) { const began = v; return await f(began); }
async function fromWebhook(f, v) { for (const n of [v]) { await f(n); } }

// meetAll meets every bug as the version of the program does: of four ways the first has
// two, the second the others. After each bug settle waits until all has been sent.
export async function meetAll(Sentry, version, settle) {
  for (const [name, bug] of bugs) {
    for (const v of version === 1 ? [0, 1] : [2, 3]) {
      await Sentry.withScope(async (scope) => {
        scope.setTag('bug', name);
        if (bug.message) {
          Sentry.captureMessage(bug.message(v), 'warning');
          return;
        }
        try {
          await [fromPage, fromJob, fromWebhook, fromPage][v](bug, v);
        } catch (err) {
          Sentry.captureException(err);
        }
      });
    }
    await settle();
  }
}
