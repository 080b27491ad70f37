// Reports to a real platform: from a row of the log, from a child's page, and from the page of a blocked site without JavaScript. What is
// sent is shown before, a receipt comes back, and what the analysts decide too. The caller has claimed the gateway as Ana, and confirms
// what `@confirm NAME` names.
import { accessible } from './pages.mjs';
import { device, gateway, must, open, picture, reach, signIn, tell } from './harness.mjs';

const RECEIPT = /^[A-Z0-9]{4}(-[A-Z0-9]{4}){3}$/;
const NOTE = 'Luan tim vëllai <b>këtu</b>';

/** Fills the form in and looks at what would be sent. */
async function look(page, dialog, kind, note) {
  await dialog.getByLabel('What happened?').selectOption(kind);
  if (note) await dialog.getByLabel('In your own words (optional)').fill(note);
  await dialog.getByRole('button', { name: 'See what is sent' }).click();
  await dialog.getByRole('heading', { name: 'This is all that is sent' }).waitFor();
}

/** What is sent, word for word. */
async function exact(dialog) {
  await dialog.getByText('Word for word').click();
  return JSON.parse(await dialog.locator('pre').textContent());
}

/** Looks how a report stands until it says so. */
async function stands(page, dialog, text) {
  const said = dialog.getByText(text);
  for (let tries = 0; (await said.count()) === 0; tries += 1) {
    must(tries < 120, `it never says: ${text}`);
    await dialog.getByRole('button', { name: 'See how the report stands' }).click();
    await page.waitForTimeout(500);
  }
}

export const tests = {
  'from a row of the log: shown, sent, received, decided on': async (browser) => {
    const window = await open(browser, 'desktop', { language: 'en' });
    await signIn(window);
    const { page } = window;
    await device('127.0.0.3').ask('www.zebra-casino.example');
    await page.goto('/activity?name=zebra-casino');
    await page.getByRole('button', { name: /zebra-casino\.example/ }).first().click();
    await page.getByRole('button', { name: /Report\s*: zebra-casino\.example/ }).click();
    const dialog = page.getByRole('dialog', { name: /Report a site|This is all|Thank you/ });
    await accessible(page, 'a report');
    await picture(page, 'report-desktop-en');
    await look(page, dialog, 'gambling', NOTE);
    await dialog.locator('dd').filter({ hasText: NOTE }).waitFor(); // text, not markup
    await dialog.getByText('nobody, the report is anonymous').waitFor();
    const sent = await exact(dialog);
    const expected = { format: 1, kind: 'gambling', name: 'zebra-casino.example', note: NOTE, language: 'en' };
    must(JSON.stringify(Object.entries(sent).sort()) === JSON.stringify(Object.entries(expected).sort()), `sent: ${JSON.stringify(sent)}`);
    await accessible(page, 'what is sent');
    await picture(page, 'report-check-desktop-en');
    await dialog.getByRole('button', { name: 'Send it' }).click();
    const receipt = (await dialog.locator('.receipt').textContent()).trim();
    must(RECEIPT.test(receipt), `no receipt: ${receipt}`);
    await accessible(page, 'the receipt');
    await picture(page, 'report-receipt-desktop-en');
    await stands(page, dialog, 'The platform has it.');
    await tell('confirm zebra-casino.example');
    await stands(page, dialog, 'Something was done.');
    await picture(page, 'report-decided-desktop-en');
    await dialog.getByRole('button', { name: 'Done' }).click();
    window.calm();
  },

  'from a child’s page, by keyboard alone; where somebody is in danger the helplines come first': async (browser) => {
    const window = await open(browser, 'desktop', { language: 'en' });
    await signIn(window);
    const { page } = window;
    await page.goto('/child?name=household&tab=names');
    await reach(page, page.getByLabel('Name of a site'));
    await page.keyboard.type('https://Stranger.example/a/b?c');
    await page.keyboard.press('Enter');
    const opener = page.getByRole('button', { name: /Report\s*: stranger\.example/ });
    await reach(page, opener);
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog');
    const kind = dialog.getByLabel('What happened?');
    await reach(page, kind);
    await page.keyboard.type('An adult');
    await dialog.getByRole('link', { name: /116 111/ }).waitFor();
    await accessible(page, 'a report of danger');
    const press = async (name) => {
      await reach(page, dialog.getByRole('button', { name }));
      await page.keyboard.press('Enter');
    };
    await press('See what is sent');
    await dialog.getByText('stranger.example', { exact: true }).waitFor();
    await press('Send it');
    const receipt = dialog.locator('.receipt');
    await receipt.waitFor();
    must(RECEIPT.test((await receipt.textContent()).trim()), 'no receipt');
    await dialog.getByRole('link', { name: /116 111/ }).waitFor();
    await press('Done');
    await dialog.waitFor({ state: 'detached' });
    must(await opener.evaluate((element) => element === document.activeElement), 'the focus does not come back');
    window.calm();
  },

  'from the page of a blocked site with scripts switched off': async (browser) => {
    const context = await browser.newContext({ javaScriptEnabled: false, locale: 'en', baseURL: `http://${gateway.web}` });
    const page = await context.newPage();
    await page.goto('http://bet365.com/some/path');
    await page.getByRole('button', { name: 'Report a mistake' }).click();
    must((await page.getByLabel('The page').inputValue()) === 'bet365.com', 'the site is to be typed again');
    await page.getByLabel(/^In your own words/).fill('a school page');
    await page.getByRole('button', { name: 'See what is sent' }).click();
    await page.getByRole('heading', { name: 'This is everything that is sent' }).waitFor();
    for (const text of ['bet365.com', 'a school page', 'nobody, the report is anonymous']) await page.locator('dd').filter({ hasText: text }).first().waitFor();
    await picture(page, 'plain-report-check-en');
    await page.getByRole('button', { name: 'Send it' }).click();
    const receipt = (await page.locator('.code').textContent()).trim();
    must(RECEIPT.test(receipt), `no receipt: ${receipt}`);
    for (let tries = 0; ; tries += 1) {
      await page.goto('/report');
      await page.getByLabel('Look at a report by its code').fill(receipt.toLowerCase());
      await page.getByRole('button', { name: 'Look', exact: true }).click();
      if ((await page.getByText('The platform has it.').count()) > 0) break;
      must(tries < 60, 'it never arrives');
      await page.waitForTimeout(500);
    }
    await context.close();
  },
};
