// A program that is built for Node: an error happens in it, which it reports to SENTRY_DSN.
import * as Sentry from '@sentry/node';
import { checkout } from 'build';

Sentry.init({ release: RELEASE, environment: 'production' });
try {
  checkout([{ name: 'tea' }]);
} catch (err) {
  Sentry.captureException(err);
}
if (!(await Sentry.close(20_000))) throw new Error('not everything could be sent');
