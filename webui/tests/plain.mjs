// The pages that work without JavaScript: accessible in both languages and themes at every width, usable with scripts switched
// off, and left at once where they are not.
import { accessible } from './pages.mjs';
import { gateway, must, open, picture } from './harness.mjs';

const BLOCKED = 'http://bet365.com/some/path';
const PAGES = {
  help: '/help',
  me: '/me',
  report: '/report',
  guides: '/guides',
  guide: '/guides/sextortion',
  'no-guide': '/guides/nothing',
  blocked: BLOCKED,
};
/** What a browser says of a page that is answered with 403, 404 or 503. */
const STATUS = [/Failed to load resource: the server responded with a status of (403|404|503)/];

async function look(browser, language, theme, widths) {
  for (const width of widths) {
    const context = await browser.newContext({ viewport: { width, height: 844 }, locale: language, colorScheme: theme, baseURL: `http://${gateway.web}` });
    const page = await context.newPage();
    for (const [name, address] of Object.entries(PAGES)) {
      await page.goto(address);
      const what = `${name} ${width} ${language} ${theme}`;
      await accessible(page, what);
      const [lang, wide] = await page.evaluate(() => [document.documentElement.lang, document.documentElement.scrollWidth]);
      must(lang === language, `${what}: speaks ${lang}`);
      must(wide <= width, `${what}: is ${wide} pixels wide`);
      if (width !== 320) await picture(page, `plain-${name}-${language}-${theme}`);
    }
    await context.close();
  }
}

export const tests = {
  'Albanian, light': (browser) => look(browser, 'sq', 'light', [320, 1280]),
  'Albanian, dark': (browser) => look(browser, 'sq', 'dark', [390]),
  'English, light': (browser) => look(browser, 'en', 'light', [390]),
  'English, dark': (browser) => look(browser, 'en', 'dark', [1280]),
  'a child asks for a blocked page with scripts switched off, by keyboard alone': async (browser) => {
    const context = await browser.newContext({ javaScriptEnabled: false, locale: 'sq', baseURL: `http://${gateway.web}` });
    const page = await context.newPage();
    const answer = await page.goto(BLOCKED);
    must(answer.status() === 403, `status ${answer.status()}`);
    await page.getByRole('textbox').first().focus();
    await page.keyboard.type('për shkollën');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Kërkesa u dërgua' }).waitFor();
    await page.getByRole('link', { name: 'Pajisja ime' }).click();
    await page.getByText('bet365.com').waitFor();
    await page.getByRole('link', { name: 'English' }).click();
    await page.getByText('waits for an answer').waitFor();
    await context.close();
  },
  'help is left by its link without scripts, and by Escape with them': async (browser) => {
    for (const scripts of [false, true]) {
      const context = await browser.newContext({ javaScriptEnabled: scripts, locale: 'sq', baseURL: `http://${gateway.web}` });
      const page = await context.newPage();
      await page.route('**/exit?*', (route) => route.fulfill({ body: 'elsewhere', contentType: 'text/plain' })); // leads out
      await page.goto('/guides');
      await page.goto('/help');
      if (scripts) await page.keyboard.press('Escape');
      else await page.getByRole('link', { name: 'Mbylle shpejt' }).click();
      await page.waitForURL('**/exit?*');
      await page.goBack();
      // With scripts the way back does not lead to the help page any more.
      const at = new URL(page.url()).pathname;
      must(at === (scripts ? '/guides' : '/help'), `back at ${at}`);
      await context.close();
    }
  },
  'nothing is loaded from elsewhere, kept or complained about': async (browser) => {
    const window = await open(browser, 'phone', { expected: STATUS });
    for (const [name, address] of Object.entries(PAGES)) {
      if (address === BLOCKED) continue;
      await window.page.goto(address);
      must((await window.context.cookies()).length === 0, `${name} sets a cookie`);
    }
    window.calm();
  },
};
