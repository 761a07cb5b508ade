// A program of Node that reports with @sentry/node: node node.mjs SCENARIO. Where it
// reports to is in SENTRY_DSN.
import http from 'node:http';
import * as Sentry from '@sentry/node';
import { meetAll } from './bugs.mjs';

const [scenario, count] = process.argv[2].split('=');

Sentry.init({
  release: scenario === 'bugs' ? `shop@${count}.0.0` : 'shop@1.4.2',
  environment: 'production',
  serverName: 'web-1',
  includeLocalVariables: scenario === 'locals',
  tracesSampleRate: ['transaction', 'spans'].includes(scenario) ? 1 : undefined,
  traceLifecycle: scenario === 'transaction' ? 'static' : 'stream',
  sendClientReports: scenario !== 'many',
});

class PaymentError extends Error {
  name = 'PaymentError';
}

function connect() {
  throw new Error('connect ECONNREFUSED 10.0.0.7:5432');
}

function pay(order) {
  try {
    connect();
  } catch (err) {
    throw new PaymentError(`order ${order} can't be paid`, { cause: err });
  }
}

function charge(user) {
  const password = 'hunter2-correct-horse';
  const card = '4111111111111111';
  throw new PaymentError(`declined for ${user.name} after ${password.length + card.length}`);
}

function depth(n) {
  if (n === 0) throw new RangeError('too deep');
  return depth(n - 1) + 1;
}

function later() {
  return new Promise((_, reject) => setImmediate(() => reject(new TypeError("can't read properties of nothing"))));
}

function caught(f) {
  try {
    f();
  } catch (err) {
    Sentry.captureException(err);
  }
}

// work is a transaction with two spans in it.
function work() {
  Sentry.startSpan({ name: 'GET /orders/:id', op: 'http.server', forceTransaction: true }, () => {
    Sentry.startSpan({ name: 'SELECT * FROM orders', op: 'db.query' }, () => {});
    Sentry.startSpan({ name: 'render', op: 'template' }, () => {});
  });
}

// route is a server of its own, asked once for an order that can't be paid.
async function route() {
  const server = http.createServer((request, response) => {
    Sentry.withIsolationScope(() => {
      try {
        pay(request.url.split('/').pop());
      } catch (err) {
        Sentry.captureException(err, { mechanism: { handled: false, type: 'http' } });
        response.writeHead(500).end();
      }
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  await fetch(`http://127.0.0.1:${server.address().port}/orders/17?token=s3cret-token`, { headers: { authorization: 'Bearer s3cret-token' } });
  server.close();
}

const schedule = {
  crontab: { schedule: { type: 'crontab', value: '*/5 * * * *' }, checkinMargin: 2, maxRuntime: 10, timezone: 'Asia/Riyadh' },
  interval: { schedule: { type: 'interval', value: 2, unit: 'hour' }, checkinMargin: 5 },
};

const scenarios = {
  uncaught() {
    setImmediate(pay, 17); // and nobody catches it
    return new Promise(() => setTimeout(() => {}, 30_000));
  },
  rejection() {
    later();
    return new Promise((resolve) => setTimeout(resolve, 100));
  },
  caught: () => caught(() => pay(17)),
  async locals() {
    caught(() => charge({ name: 'Amal' }));
    // Variables are read by a debugger, which works beside the program.
    await new Promise((resolve) => setTimeout(resolve, 500));
    caught(() => charge({ name: 'Amal' }));
  },
  message: () => Sentry.captureMessage('the shop is open', 'info'),
  template: () => Sentry.captureMessage(Sentry.parameterize`stock of ${'tea'} is ${3}`, 'warning'),
  context() {
    Sentry.setUser({ id: '7', username: 'amal', email: 'amal@example.com', ip_address: '203.0.113.9' });
    Sentry.setTags({ plan: 'team', region: 'eu-central' });
    Sentry.setContext('cart', { items: 3, total: '41.50' });
    Sentry.setExtra('attempt', 2);
    Sentry.addBreadcrumb({ category: 'auth', message: 'signed in', level: 'info', data: { method: 'passkey' } });
    Sentry.addBreadcrumb({ category: 'cart', message: 'three items', level: 'info' });
    caught(() => pay(17));
  },
  fingerprint() {
    Sentry.getCurrentScope().setFingerprint(['{{ default }}', 'database-down']);
    caught(() => pay(17));
  },
  transaction: work,
  spans: work,
  session() {
    Sentry.startSession();
    Sentry.captureSession();
    caught(() => pay(17));
    Sentry.endSession();
  },
  checkin() {
    for (const [kind, config] of Object.entries(schedule)) {
      const checkInId = Sentry.captureCheckIn({ monitorSlug: `backup-${kind}`, status: 'in_progress' }, config);
      Sentry.captureCheckIn({ checkInId, monitorSlug: `backup-${kind}`, status: kind === 'interval' ? 'error' : 'ok', duration: 1.5 }, config);
    }
  },
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
      if (i % 20 === 19) await Sentry.flush(10_000);
    }
  },
  recursion: () => caught(() => depth(40)),
  route,
  bugs: () => meetAll(Sentry, Number(count), () => Sentry.flush(20_000)),
};

await scenarios[scenario]();
if (!(await Sentry.close(20_000))) throw new Error('not everything could be sent');
