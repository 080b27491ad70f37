// Notifications on this device: turned on, tested, shown by the real service worker, opened, turned off; and why there are none where
// there are none. The push service and what stands for the browser's side of it are here (`push-service.mjs`): Chromium's own is on
// the Internet. The caller has claimed the gateway as Ana, who has a list of harm; `ISIGURT_PUSH` is a folder with a certificate.
import { join } from 'node:path';
import { accessible } from './pages.mjs';
import { device, must, open, picture, signIn } from './harness.mjs';
import { start } from './push-service.mjs';

const WORDS = {
  en: { on: 'Turn on', off: /Turn off\s*:/, test: /Test\s*:/, is: 'Notifications are on here', shows: 'What a notification shows', save: 'Save', title: 'Notifications on this device', said: 'This is a test', little: 'Something needs your look', sent: /The test was sent/ },
  sq: { on: 'Ndiz', off: /Fik\s*:/, test: /Provo\s*:/, is: 'Njoftimet këtu janë të ndezura', shows: 'Çfarë shfaq njoftimi', save: 'Ruaj', title: 'Njoftimet në këtë pajisje', said: 'Kjo është një provë', little: 'Diçka kërkon vëmendjen tuaj', sent: /Prova u dërgua/ },
};

/** A push service; `next` gives the next message that came, opened. */
async function service() {
  const come = [];
  let wake = () => undefined;
  const folder = process.env.ISIGURT_PUSH;
  const there = await start(join(folder, 'push.pem'), join(folder, 'push.key'), (message) => {
    come.push(message);
    wake();
  });
  const next = async () => {
    const until = Date.now() + 40_000;
    while (come.length === 0) {
      must(Date.now() < until, 'no message came');
      await new Promise((done) => { wake = done; setTimeout(done, 1000); });
    }
    const message = come.shift();
    must(!message.error, message.error);
    return message;
  };
  return { ...there, next };
}

/** Stands for the browser's side of a push service, which would be asked over the Internet. */
function side({ endpoint, keys }) {
  const KEPT = 'subscription of the test';
  const made = (key) => ({
    endpoint,
    options: { userVisibleOnly: true, applicationServerKey: Uint8Array.from(key).buffer },
    toJSON: () => ({ endpoint, expirationTime: null, keys }),
    unsubscribe: async () => { localStorage.removeItem(KEPT); return true; },
  });
  PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
    if (!userVisibleOnly || applicationServerKey.length !== 65 || applicationServerKey[0] !== 4) throw new DOMException('no key', 'InvalidAccessError');
    localStorage.setItem(KEPT, JSON.stringify([...applicationServerKey]));
    return made([...applicationServerKey]);
  };
  PushManager.prototype.getSubscription = async () => {
    const kept = localStorage.getItem(KEPT);
    return kept ? made(JSON.parse(kept)) : null;
  };
}

/** A window that may show notifications, with what delivers to its service worker. */
async function allowed(browser, screen, language, subscription) {
  const window = await open(browser, screen, { language, host: 'localhost', expected: [/Failed to load resource/] });
  const { context, page } = window;
  const origin = await origins(page);
  await context.grantPermissions(['notifications'], { origin });
  if (subscription) await page.addInitScript(side, subscription);
  await signIn(window);
  const client = await context.newCDPSession(page);
  let registration = null;
  client.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => { registration = registrations.find((one) => !one.isDeleted) ?? registration; });
  await client.send('ServiceWorker.enable');
  await page.goto('/account');
  return {
    ...window,
    deliver: async (data) => {
      await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
      must(registration, 'there is no service worker');
      await client.send('ServiceWorker.deliverPushMessage', { origin, registrationId: registration.registrationId, data });
    },
    /** What is shown, once something with this text is. */
    shown: async (text) => {
      const find = (wanted) => navigator.serviceWorker.ready.then((ready) => ready.getNotifications()).then((all) => all.map(({ title, body, lang, tag, data }) => ({ title, body, lang, tag, data })).find((one) => one.body.includes(wanted)));
      for (let tries = 0; tries < 50; tries += 1) {
        const found = await page.evaluate(find, text);
        if (found) return found;
        await page.waitForTimeout(200);
      }
      throw new Error(`nothing that says "${text}" is shown`);
    },
  };
}

/** What the window calls the gateway. */
async function origins(page) {
  return new URL((await page.request.get('/healthz')).url()).origin;
}

async function whole(browser, screen, language) {
  const words = WORDS[language];
  const there = await service();
  const window = await allowed(browser, screen, language, there.subscribe());
  const { page } = window;
  const card = page.getByRole('region', { name: words.title });
  await card.getByRole('button', { name: words.on }).waitFor();
  await accessible(page, `notifications, off, ${language}`);
  await card.getByRole('button', { name: words.on }).focus();
  await page.keyboard.press('Enter');
  await card.locator('.chip').getByText(words.is).waitFor();

  await card.getByRole('button', { name: words.test }).click();
  await page.getByText(words.sent).waitFor();
  const message = await there.next();
  await window.deliver(message.text);
  const test = await window.shown(words.said);
  must(test.lang === language && test.title === 'iSigurt' && test.tag === 'test', `shown is ${JSON.stringify(test)}`);
  await accessible(page, `notifications, on, ${language}`);
  await picture(page, `push-${screen}-${language}`);

  await device('127.0.0.3').ask(`${language}.harm.example`);
  const harm = await there.next();
  must(!harm.text.includes('harm.example'), `it says the name: ${harm.text}`);
  await window.deliver(harm.text);
  const alert = await window.shown(words.little);
  must(!JSON.stringify(alert).includes('Era'), `it says whose it is: ${JSON.stringify(alert)}`);
  // Whoever touches the notification is led to what it is about.
  const [worker] = window.context.serviceWorkers();
  await worker.evaluate(async () => {
    const all = await self.registration.getNotifications();
    const notification = all.find((one) => one.data.url.startsWith('/activity'));
    self.dispatchEvent(new NotificationEvent('notificationclick', { notification }));
  });
  await page.waitForURL(/\/activity\?verdict=blocked/);
  await page.goto('/account');

  // What comes and cannot be read is shown in words that are always true.
  await window.deliver('neither JSON nor ours');
  await window.shown(words.little);

  await card.getByLabel(words.shows).selectOption('whose');
  await card.getByRole('button', { name: words.save, exact: true }).click();
  await card.getByRole('button', { name: words.save, exact: true }).waitFor({ state: 'detached' });
  await page.reload();
  await card.locator('.chip').getByText(words.is).waitFor();
  must((await card.getByLabel(words.shows).inputValue()) === 'whose', 'what was chosen is not kept');

  await card.getByRole('button', { name: words.off }).click();
  await card.getByRole('button', { name: words.on }).waitFor();
  const left = await (await page.request.get('/api/v1/push')).json();
  must(left.subscriptions.length === 0, 'the gateway still tells this device');
  must((await page.evaluate(async () => (await navigator.serviceWorker.ready).pushManager.getSubscription())) === null, 'the browser is still subscribed');
  there.close();
  window.calm();
}

export const tests = {
  'a desktop, English': (browser) => whole(browser, 'desktop', 'en'),
  'a phone, Albanian': (browser) => whole(browser, 'phone', 'sq'),

  'signing out ends them on this device, and another device is removed from here': async (browser) => {
    const there = await service();
    const other = await allowed(browser, 'desktop', 'en', there.subscribe());
    await other.page.getByRole('button', { name: 'Turn on' }).click();
    await other.page.locator('.chip').getByText(WORDS.en.is).waitFor();
    const window = await allowed(browser, 'phone', 'en', there.subscribe());
    const { page } = window;
    await page.getByRole('heading', { name: 'Your other devices' }).waitFor();
    await page.getByRole('button', { name: 'Turn on' }).click();
    await page.locator('.chip').getByText(WORDS.en.is).waitFor();
    await accessible(page, 'two devices');
    await picture(page, 'push-two-phone-en');
    const card = page.getByRole('region', { name: WORDS.en.title });
    await card.getByRole('button', { name: /Remove\s*:/ }).click();
    await page.getByRole('heading', { name: 'Your other devices' }).waitFor({ state: 'detached' });
    await page.getByRole('main').getByRole('button', { name: 'Sign out', exact: true }).click();
    await page.locator('input[name=password]').waitFor();
    await signIn(window);
    const left = await (await page.request.get('/api/v1/push')).json();
    must(left.subscriptions.length === 0, `after signing out ${left.subscriptions.length} are told`);
    there.close();
    window.calm();
    other.calm();
  },

  'where there are none the page says why, and what to do': async (browser) => {
    const why = async (text, change, options = {}) => {
      const window = await open(browser, 'phone', { language: 'en', host: 'localhost', ...options });
      if (change) await window.page.addInitScript(change);
      await signIn(window);
      await window.page.goto('/account');
      await window.page.getByText(text).waitFor();
      must((await window.page.getByRole('button', { name: 'Turn on' }).count()) === 0, `${text}: it can be turned on all the same`);
      await accessible(window.page, String(text));
      window.calm();
      await window.context.close();
    };
    await why(/only on encrypted pages/, () => Object.defineProperty(window, 'isSecureContext', { get: () => false }));
    await why(/Use a newer one, or another device/, () => delete window.PushManager);
    await why(/put this page on the home screen/, () => {
      delete window.PushManager;
      Object.defineProperty(navigator, 'userAgent', { get: () => 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)' });
    });
    await why(/blocked in the browser/, () => Object.defineProperty(Notification, 'permission', { get: () => 'denied' }));
    await why(/does not trust the gateway’s certificate/, () => {
      Object.defineProperty(Notification, 'permission', { get: () => 'default' });
      ServiceWorkerContainer.prototype.register = () => Promise.reject(new DOMException('SSL', 'SecurityError'));
    });
  },

  'a push service that does not answer is told in words': async (browser) => {
    const window = await allowed(browser, 'phone', 'sq', null);
    await window.page.addInitScript(() => {
      PushManager.prototype.subscribe = () => Promise.reject(new DOMException('Registration failed - push service error', 'AbortError'));
    });
    await window.page.reload();
    await window.page.getByRole('button', { name: 'Ndiz' }).click();
    await window.page.getByText(/Shërbimi i njoftimeve i shfletuesit nuk arrihet dot/).waitFor();
    await accessible(window.page, 'no push service');
    window.calm();
  },
};
