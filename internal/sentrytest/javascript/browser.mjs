// The page's script: it does the scenario that its address names with @sentry/browser, and
// says so to where it came from.
import * as Sentry from '@sentry/browser';
import { meetAll } from './bugs.mjs';

const query = new URLSearchParams(location.search);
const scenario = query.get('scenario');
const count = query.get('count');
const key = new URL(query.get('dsn')).username;

Sentry.init({
  dsn: query.get('dsn'),
  release: scenario === 'bugs' ? `shop-web@${count}.0.0` : 'shop-web@1.4.2',
  environment: 'production',
  sampleRate: 1,
  tracesSampleRate: ['transaction', 'spans'].includes(scenario) ? 1 : undefined,
  traceLifecycle: scenario === 'transaction' ? 'static' : 'stream',
  // A header of the page's own makes the browser ask for leave first. Many events at once
  // are more than Chromium lets be on their way with keepalive, and refused by it, of
  // which the SDK says network_error to itself.
  transportOptions: ['many', 'bugs'].includes(scenario) ? { fetchOptions: { keepalive: false } } : scenario === 'preflight' ? { headers: { 'X-Sentry-Auth': `Sentry sentry_version=7, sentry_key=${key}` } } : {},
});

// An event is settled when it has been answered: what Sentry.flush waits for may still be
// on its way when the page is closed.
const pending = new Set();
Sentry.getClient().on('beforeSendEvent', (event) => pending.add(event.event_id));
Sentry.getClient().on('afterSendEvent', (event) => pending.delete(event.event_id));

async function settle() {
  await Sentry.flush(20_000);
  for (const end = Date.now() + 20_000; pending.size; ) {
    if (Date.now() > end) throw new Error(`${pending.size} events haven't been answered`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

class PaymentError extends Error {
  name = 'PaymentError';
}

function connect() {
  throw new Error('the payment service is away');
}

function pay(order) {
  try {
    connect();
  } catch (err) {
    throw new PaymentError(`order ${order} can't be paid`, { cause: err });
  }
}

function depth(n) {
  if (n === 0) throw new RangeError('too deep');
  return depth(n - 1) + 1;
}

function caught(f) {
  try {
    f();
  } catch (err) {
    Sentry.captureException(err);
  }
}

function charge() {
  const password = 'hunter2-correct-horse';
  const card = '4111111111111111';
  console.log('charging', card, 'with', password); // which becomes a breadcrumb
  throw new PaymentError(`card ${card} declined`);
}

function work() {
  Sentry.startSpan({ name: '/orders/:id', op: 'pageload', forceTransaction: true }, () => {
    Sentry.startSpan({ name: 'render', op: 'ui.render' }, () => {});
    Sentry.startSpan({ name: 'paint', op: 'ui.paint' }, () => {});
  });
}

const tick = () => new Promise((resolve) => setTimeout(resolve, 20));

const scenarios = {
  uncaught() {
    setTimeout(pay, 0, 17);
    return tick();
  },
  rejection() {
    Promise.reject(new TypeError("can't read properties of nothing"));
    return tick();
  },
  caught: () => caught(() => pay(17)),
  locals: () => caught(charge),
  preflight: () => caught(() => pay(17)),
  message: () => Sentry.captureMessage('the shop is open', 'info'),
  template: () => Sentry.captureMessage(Sentry.parameterize`stock of ${'tea'} is ${3}`, 'warning'),
  context() {
    Sentry.setUser({ id: '7', username: 'amal', email: 'amal@example.com', ip_address: '203.0.113.9' });
    Sentry.setTags({ plan: 'team', region: 'eu-central' });
    Sentry.setContext('cart', { items: 3, total: '41.50' });
    Sentry.setExtra('attempt', 2);
    Sentry.addBreadcrumb({ category: 'auth', message: 'signed in', level: 'info', data: { method: 'passkey' } });
    caught(() => pay(17));
  },
  fingerprint() {
    Sentry.getCurrentScope().setFingerprint(['{{ default }}', 'database-down']);
    caught(() => pay(17));
  },
  transaction: work,
  spans: work,
  session: () => caught(() => pay(17)), // a page's load is a session, which the SDK begins by itself
  feedback() {
    const associatedEventId = Sentry.captureException(new PaymentError('declined'));
    Sentry.captureFeedback({ name: 'Amal', email: 'amal@example.com', message: 'I pressed pay and nothing happened', associatedEventId });
  },
  attachment() {
    Sentry.getCurrentScope().addAttachment({ filename: 'order.txt', data: 'one tea\ntwo coffees\n', contentType: 'text/plain' });
    Sentry.getCurrentScope().addAttachment({ filename: 'cart.bin', data: new Uint8Array([0, 10, 13, 10, 255]) });
    caught(() => pay(17));
  },
  async many() {
    for (let i = 0; i < Number(count); i++) {
      Sentry.captureException(new PaymentError(`order ${i} can't be paid`));
      await settle();
    }
  },
  recursion: () => caught(() => depth(40)),
  bugs: () => meetAll(Sentry, Number(count), settle),
};

let said = '';
try {
  await scenarios[scenario]();
  await settle();
  if (!(await Sentry.close(20_000))) said = 'not everything could be sent';
} catch (err) {
  said = String(err);
}
document.title = `done ${said}`;
