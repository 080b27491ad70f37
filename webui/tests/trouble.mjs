// What goes wrong: two parents at once, a gateway that restarts or is slow, a session that ends, names that are meant to harm.
import { accessible } from './pages.mjs';
import { device, must, open, picture, signIn, tell } from './harness.mjs';

const HOUSEHOLD = '/child?name=household';
/** What the browser itself says of a connection that is not there. */
const AWAY = [/net::ERR_/, /Failed to load resource/];

const deny = async (page, name) => {
  await page.goto(`${HOUSEHOLD}&tab=names`);
  await page.getByLabel('Name of a site').fill(name);
  await page.getByRole('button', { name: 'Block', exact: true }).click();
};
const save = (page) => page.getByRole('button', { name: 'Save', exact: true });

/** The API, as a parent elsewhere. */
async function elsewhere({ page }, csrf, method, path, data) {
  const answer = await page.request.fetch(`/api/v1${path}`, { method, data, headers: { 'x-csrf-token': csrf } });
  must(answer.ok(), `${method} ${path}: ${answer.status()} ${await answer.text()}`);
}

export const tests = {
  'the parent who saves second sees what the first one did, and decides': async (browser) => {
    const [mother, father] = [await open(browser, 'desktop', { language: 'en', expected: [/412/] }), await open(browser, 'phone', { language: 'en', expected: [/412/] })];
    await signIn(mother);
    await signIn(father);
    await deny(mother.page, 'mother.example');
    await deny(father.page, 'father.example');
    await save(mother.page).click();
    await mother.page.locator('.save').waitFor({ state: 'detached' });
    await save(father.page).click();
    const dialog = father.page.getByRole('dialog');
    await dialog.getByText('mother.example').waitFor();
    await dialog.getByText('father.example').waitFor();
    await accessible(father.page, 'conflict');
    await picture(father.page, 'conflict-phone-en');
    const here = device('127.0.0.9');
    must(!(await here.gets('mother.example')) && (await here.gets('father.example')), 'the second one overwrote the first');
    await dialog.getByRole('button', { name: 'Save mine' }).click();
    await father.page.locator('.save').waitFor({ state: 'detached' });
    must(!(await here.gets('father.example')), 'the decision is not in force');
    mother.calm();
    father.calm();
  },

  'what somebody else changed meanwhile never takes away what is being typed': async (browser) => {
    const window = await open(browser, 'desktop', { language: 'en' });
    const csrf = await signIn(window);
    const { page } = window;
    await page.goto(`${HOUSEHOLD}&tab=names`);
    const name = page.getByLabel('Name of a site');
    await name.waitFor();
    let came = () => undefined;
    const news = new Promise((done) => (came = done));
    await page.route('**/api/v1/profiles/household', async (route) => {
      came();
      await new Promise((done) => setTimeout(done, 1500)); // the answer is on its way while the parent types
      await route.continue();
    });
    const other = await page.request.post('/api/v1/profiles', { data: { name: 'Gjyshja' }, headers: { 'x-csrf-token': csrf } });
    must(other.ok(), `a profile: ${other.status()}`);
    await news;
    const answered = page.waitForResponse('**/api/v1/profiles/household');
    await name.fill('typed.example');
    await page.getByRole('button', { name: 'Block', exact: true }).click();
    await save(page).waitFor();
    await answered;
    await page.waitForTimeout(300);
    must(await save(page).isVisible(), 'what was typed is gone');
    await page.getByText('typed.example').waitFor();
    await page.unroute('**/api/v1/profiles/household');
    await save(page).click();
    await page.locator('.save').waitFor({ state: 'detached' });
    must(!(await device('127.0.0.9').gets('typed.example')), 'what was saved is not in force');
    window.calm();
  },

  'a device that somebody else changed meanwhile is shown as both have it, and what was typed stays': async (browser) => {
    const window = await open(browser, 'phone', { language: 'en', expected: [/412/] });
    const csrf = await signIn(window);
    const { page } = window;
    const laptop = { name: 'laptop', match: ['ip:127.0.2.1'], profile: 'household' };
    await elsewhere(window, csrf, 'POST', '/devices', laptop);
    await page.goto(`${HOUSEHOLD}&tab=devices`);
    await page.getByRole('button', { name: 'Change laptop' }).click();
    const dialog = page.getByRole('dialog');
    const name = dialog.getByLabel('Name of the device');
    await name.fill('The old laptop');
    await elsewhere(window, csrf, 'PUT', '/devices/laptop', { ...laptop, match: ['ip:127.0.2.2'] });
    await save(page).click();
    await dialog.getByRole('row', { name: /Recognised by/ }).getByText('127.0.2.2').waitFor();
    await dialog.getByRole('row', { name: /Name/ }).getByText('The old laptop').waitFor();
    await accessible(page, 'conflict of a device');
    await picture(page, 'conflict-device-phone-en');
    await dialog.getByRole('button', { name: 'Close' }).click();
    must((await name.inputValue()) === 'The old laptop', 'what was typed is gone');
    await save(page).click();
    await dialog.getByRole('button', { name: 'Save mine' }).click();
    await page.getByRole('heading', { name: 'The old laptop' }).waitFor();
    await dialog.waitFor({ state: 'detached' });
    window.calm();
  },

  'what is removed is removed once, however often that is pressed': async (browser) => {
    const window = await open(browser, 'desktop', { language: 'en' });
    const csrf = await signIn(window);
    const { page } = window;
    let asked = 0;
    page.on('request', (request) => (asked += request.method() === 'DELETE' ? 1 : 0));
    const twice = (button) => button.evaluate((one) => (one.click(), one.click()));
    await elsewhere(window, csrf, 'POST', '/profiles', { name: 'Bora' });
    await elsewhere(window, csrf, 'POST', '/devices', { name: 'old phone', match: ['ip:127.0.2.3'], profile: 'Bora' });
    await page.goto('/child?name=Bora&tab=devices');
    await page.getByRole('button', { name: 'Change old phone' }).click();
    await twice(page.getByRole('dialog').getByRole('button', { name: 'Remove' }));
    await page.getByText('old phone is removed').waitFor();
    await page.waitForTimeout(300);
    must(asked === 1, `the device is removed ${asked} times`);
    await page.locator('summary', { hasText: 'More' }).click();
    await twice(page.getByRole('button', { name: 'Remove this profile' }));
    await page.getByText('Bora is removed').waitFor();
    await page.waitForTimeout(300);
    must(asked === 2, `the child is removed ${asked - 1} times`);
    window.calm();
  },

  'what could not be taken back is said, and is taken back by pressing again': async (browser) => {
    const window = await open(browser, 'phone', { language: 'en', expected: AWAY });
    const csrf = await signIn(window);
    const { page } = window;
    await elsewhere(window, csrf, 'POST', '/devices', { name: 'console', match: ['ip:127.0.2.4'], profile: 'household' });
    await page.goto(`${HOUSEHOLD}&tab=devices`);
    await page.getByRole('button', { name: 'Change console' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    const undo = page.getByRole('button', { name: 'Undo' });
    await page.getByText('console is removed').waitFor();
    await page.route('**/api/v1/devices', (route) => route.abort());
    await undo.click();
    await page.locator('.note').getByText('The gateway does not answer.').waitFor();
    await accessible(page, 'not taken back');
    await page.unroute('**/api/v1/devices');
    await undo.click();
    await page.getByRole('heading', { name: 'console' }).waitFor();
    window.calm();
  },

  'a pause that could not be ended is said wherever one is by then': async (browser) => {
    const window = await open(browser, 'desktop', { language: 'en', expected: [/503/] });
    await signIn(window);
    const { page } = window;
    await page.goto('/');
    await page.getByRole('button', { name: /^Pause.*: Household$/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: '15 min' }).click();
    await page.getByRole('link', { name: 'School' }).click();
    await page.getByRole('heading', { level: 1, name: 'School' }).waitFor();
    await page.route('**/api/v1/pauses?*', (route) => route.fulfill({ status: 503 }));
    const undo = page.getByRole('button', { name: 'Undo' });
    await undo.click();
    await page.locator('.note').getByText('The gateway cannot do this just now.').waitFor();
    await page.unroute('**/api/v1/pauses?*');
    await undo.click();
    await page.getByText('the internet is back').waitFor();
    must(await device('127.0.0.9').gets('a.example'), 'it is still paused');
    window.calm();
  },

  'a gateway that restarts loses nothing that was typed': async (browser) => {
    const window = await open(browser, 'phone', { language: 'en', expected: AWAY });
    await signIn(window);
    const { page } = window;
    await deny(page, 'restart.example');
    await tell('stop');
    await save(page).click();
    await page.getByText('The gateway does not answer.').waitFor();
    await accessible(page, 'away');
    await picture(page, 'away-phone-en');
    await tell('start');
    await page.locator('.save').waitFor({ state: 'detached', timeout: 30_000 });
    await page.getByText('The gateway does not answer.').waitFor({ state: 'detached' });
    must(!(await device('127.0.0.9').gets('restart.example')), 'what was saved is not in force');
    window.calm();
  },

  'a slow gateway is said to be slow, and waited for': async (browser) => {
    const window = await open(browser, 'desktop', { language: 'en' });
    await signIn(window);
    const { page } = window;
    await deny(page, 'slow.example');
    const client = await window.context.newCDPSession(page);
    await client.send('Network.enable');
    await client.send('Network.emulateNetworkConditions', { offline: false, latency: 5000, downloadThroughput: -1, uploadThroughput: -1 });
    await save(page).click();
    await page.getByText('The gateway takes its time').waitFor();
    await page.locator('.save').waitFor({ state: 'detached', timeout: 20_000 });
    await page.getByText('The gateway takes its time').waitFor({ state: 'detached' });
    must(!(await device('127.0.0.9').gets('slow.example')), 'what was saved is not in force');
    window.calm();
  },

  'a session that ends keeps what was typed': async (browser) => {
    const window = await open(browser, 'phone', { language: 'en', expected: [/401/, /403/] });
    const csrf = await signIn(window);
    const { page } = window;
    await deny(page, 'session.example');
    const ended = await page.request.delete('/api/v1/session', { headers: { 'x-csrf-token': csrf } });
    must(ended.ok(), `signing out: ${ended.status()}`);
    await save(page).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Password').fill(process.env.ISIGURT_PASSWORD);
    await accessible(page, 'signing in again');
    await picture(page, 'signin-again-phone-en');
    await dialog.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('.save').waitFor({ state: 'detached' });
    must(!(await device('127.0.0.9').gets('session.example')), 'what was saved is not in force');
    window.calm();
  },

  'names that are meant to harm are text': async (browser) => {
    const window = await open(browser, 'phone', { language: 'sq' });
    const csrf = await signIn(window);
    const { page } = window;
    const names = ['<img src=x onerror=alert(1)>', '\u202eevil\u2066 \u200fshtëpi', `${'M'.repeat(64)}`, '{name} & "quotes"'];
    for (const [place, name] of names.entries()) {
      const made = await page.request.post('/api/v1/devices', { data: { name, match: [`ip:127.0.1.${place}`], profile: 'household' }, headers: { 'x-csrf-token': csrf } });
      must(made.ok(), `${name}: ${await made.text()}`);
    }
    // 253 octets, with a script in them, asked for by a device that nobody knows.
    const label = 'x'.repeat(60);
    await device('127.0.0.8').ask(`<script>alert(1)</script>.${label}.${label}.${label}.example`.slice(0, 253));
    page.on('dialog', () => {
      throw new Error('a script ran');
    });
    for (const address of [`${HOUSEHOLD}&tab=devices`, '/children', '/', `${HOUSEHOLD}&tab=history`]) {
      await page.goto(address);
      await page.locator('main h1').waitFor();
      await page.waitForFunction(() => document.querySelectorAll('.waiting').length === 0);
      await accessible(page, address);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      must(wide <= 0, `${address} is ${wide} pixels too wide`);
      must((await page.locator('img[src=x]').count()) === 0, 'a name became an element');
    }
    await page.goto(`${HOUSEHOLD}&tab=devices`);
    await page.getByRole('heading', { name: '<img src=x onerror=alert(1)>' }).waitFor();
    await picture(page, 'hostile-names-phone-sq');
    window.calm();
  },

  'out of reach there is a page that says so, and the API is never kept': async (browser) => {
    const window = await open(browser, 'phone', { expected: AWAY });
    await signIn(window);
    const { page } = window;
    await page.goto('/');
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await page.reload();
    await page.locator('main h1').waitFor();
    const kept = await page.evaluate(async () => {
      const all = await Promise.all((await caches.keys()).map(async (name) => (await (await caches.open(name)).keys()).map((one) => new URL(one.url).pathname)));
      return all.flat().sort();
    });
    must(JSON.stringify(kept) === JSON.stringify(['/offline.css', '/offline.html']), `kept: ${kept}`);
    await tell('stop');
    await page.reload();
    await page.getByText('Porta nuk arrihet').waitFor();
    await page.getByRole('link', { name: '116 111' }).first().waitFor();
    await accessible(page, 'offline');
    await picture(page, 'offline-phone-sq');
    await tell('start');
    window.calm();
  },
};
