// First run, as a new parent does it: against a gateway that nobody has claimed. The caller says on which screen, in which language
// and whether by keyboard alone.
import { accessible } from './pages.mjs';
import { authenticator, device, gateway, must, open, picture, reach } from './harness.mjs';

const PHONE = {
  screen: 'phone', language: 'sq', theme: 'light', next: 'Vazhdo', ages: ['7 deri në 12 vjeç', '13 deri në 15 vjeç'], good: 'Mirë kështu',
  works: 'Funksionon', home: 'Shko te kreu', school: 'Në shkollë', family: 'Në shtëpi',
  groups: 'Cilat grupe mësojnë këtu?',
};
const DESKTOP = {
  screen: 'desktop', language: 'en', theme: 'dark', next: 'Next', ages: ['7 to 12', '13 to 15'], good: 'Looks good', works: 'It works',
  home: 'Go to the home page', school: 'In a school', family: 'At home',
  host: 'localhost', passkey: 'Make a passkey', // browsers allow passkeys there
};

async function firstRun(browser, way, keyboard) {
  const window = await open(browser, way.screen, { ...way, expected: [/503/] });
  const { page } = window;
  const keys = way.passkey ? await authenticator(window) : null;
  const began = Date.now();
  const press = async (target) => {
    if (!keyboard) return target.click();
    await reach(page, target);
    await page.keyboard.press('Enter');
  };
  const type = async (target, text) => {
    if (!keyboard) return target.fill(text);
    await reach(page, target);
    await page.keyboard.type(text);
  };
  const step = async (name) => {
    await page.locator(`h1:focus`).waitFor();
    await accessible(page, name);
    await picture(page, `start-${name}-${way.screen}-${way.language}`);
  };

  await page.goto('/');
  await page.locator('input[name=code]').waitFor();
  await accessible(page, 'claim');
  await picture(page, `start-claim-${way.screen}-${way.language}`);
  await type(page.locator('input[name=code]'), gateway.code.toLowerCase());
  await type(page.locator('input[name=username]'), 'Ana');
  await type(page.locator('input[name=password]'), gateway.password);
  await press(page.getByRole('button', { name: way.next }));

  if (way.passkey) {
    await page.getByRole('button', { name: way.passkey }).waitFor();
    await step('passkey');
    await press(page.getByRole('button', { name: way.passkey }));
  }
  await page.getByRole('button', { name: way.ages[0] }).waitFor();
  must(!keys || (await keys.passkeys()).length === 1, 'the passkey was not made');
  if (!keyboard) {
    await page.getByText(way.school).click();
    await page.getByRole('heading', { name: way.groups }).waitFor();
    must((await page.locator('form input:not([type=radio])').count()) === 4, 'a school does not begin with its groups');
    await page.getByText(way.family).click();
    must((await page.locator('form input:not([type=radio])').count()) === 0, 'a home begins with somebody');
  }
  for (const [place, name] of ['Era', 'Bledi'].entries()) {
    await press(page.getByRole('button', { name: way.ages[place], exact: true }));
    await page.locator('input:focus').waitFor();
    await page.keyboard.type(name); // the name is what is typed next
  }
  await accessible(page, 'people');
  await picture(page, `start-people-${way.screen}-${way.language}`);

  // Nothing is saved before what is to be saved is there; where it does not come, it is asked for again.
  let saved = 0;
  let fail = () => undefined;
  const slow = new Promise((done) => (fail = done));
  await page.route('**/api/v1/policy', async (route) => {
    if (route.request().method() === 'PUT') saved += 1;
    await slow;
    await route.fulfill({ status: 503 });
  });
  const asked = page.waitForRequest('**/api/v1/policy');
  await press(page.getByRole('button', { name: way.next }));
  await asked;
  const early = async (when) => {
    await page.locator('button.primary').evaluate((button) => button.click());
    await page.waitForTimeout(300);
    must(saved === 0, `rules are saved ${when}`);
  };
  await early('before they are there');
  fail();
  const again = page.getByRole('alert').getByRole('button');
  await again.waitFor();
  await early('that did not come');
  await page.unroute('**/api/v1/policy');
  await press(again);

  await page.getByRole('heading', { name: 'Bledi' }).waitFor();
  await step('rules');
  await press(page.getByRole('button', { name: way.good }));

  // The browser looks a name up; here its question is asked for it, from its own address.
  await page.locator('link[data-check]').first().waitFor({ state: 'attached' });
  await step('network');
  const host = await page.locator('link[data-check]').last().evaluate((link) => new URL(link.href).hostname);
  await device('127.0.0.1').ask(host);
  await page.getByText(way.works).waitFor();
  await picture(page, `start-works-${way.screen}-${way.language}`);
  await press(page.getByRole('button', { name: way.next }));
  await step('done');
  await press(page.getByRole('button', { name: way.home }));
  await page.getByRole('link', { name: 'Era' }).first().waitFor();
  console.log(`first run on a ${way.screen}, ${keyboard ? 'by keyboard alone' : 'by touch'}: ${((Date.now() - began) / 1000).toFixed(1)} s with the tests' own looks`);

  const stranger = device('127.0.0.7');
  must(!(await stranger.gets('bet365.com')), 'guests reach a gambling site');
  must(await stranger.gets('books.example'), 'guests reach nothing');
  window.calm();
}

const way = process.env.ISIGURT_SCREEN === 'desktop' ? DESKTOP : PHONE;
const name = way === DESKTOP ? 'a parent sets it up at a desktop by keyboard alone' : 'a parent sets it up on a phone';
export const tests = { [name]: (browser) => firstRun(browser, way, way === DESKTOP) };
