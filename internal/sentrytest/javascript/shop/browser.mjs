// A page that is built: an error happens in it, which it reports to the DSN that its address names.
import * as Sentry from '@sentry/browser';
import { checkout } from 'build';

Sentry.init({ dsn: new URLSearchParams(location.search).get('dsn'), release: RELEASE, environment: 'production' });
let said = '';
let answered = new Promise((resolve) => Sentry.getClient().on('afterSendEvent', resolve));
try {
  checkout([{ name: 'tea' }]);
} catch (err) {
  Sentry.captureException(err);
}
await answered;
if (!(await Sentry.close(20_000))) said = ' not everything could be sent';
document.title = `done${said}`;
