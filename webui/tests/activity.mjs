// Activity: queries appear as they are asked, with why and what can be done. A log of many rows has a test of its own (`long.mjs`).
import { device, must, open, picture, signIn } from './harness.mjs';
import { accessible } from './pages.mjs';

/** A parent's window with a row of a site that was asked for; what its profile says; another parent, who blocks a site. */
async function explained(browser, site) {
  const window = await open(browser, 'phone', { language: 'en', expected: [/412/] });
  const csrf = await signIn(window);
  const { page } = window;
  const profile = async () => (await page.request.get('/api/v1/profiles/household')).json();
  const block = async (name) => {
    const now = await profile();
    const answer = await page.request.put('/api/v1/profiles/household', { data: { ...now, deny: [...(now.deny ?? []), name] }, headers: { 'x-csrf-token': csrf } });
    must(answer.ok(), `blocking ${name}: ${answer.status()}`);
  };
  const row = async () => {
    await page.goto(`/activity?name=${site}`);
    await device('127.0.0.3').ask(site);
    await page.getByRole('listitem').getByRole('button', { name: site }).first().click();
  };
  return { ...window, profile, block, row };
}

export const tests = {
  'a query appears by itself, says why, and its site is allowed in one tap': async (browser) => {
    const window = await open(browser, 'phone', { language: 'en' });
    await signIn(window);
    const { page } = window;
    await page.goto('/activity?name=live.bet365.com');
    await page.getByText('Nothing matches').waitFor();
    const tablet = device('127.0.0.3');
    must(!(await tablet.gets('live.bet365.com')), 'it is blocked at first');
    const row = page.getByRole('button', { name: /bet365\.com/ }).first();
    await row.waitFor();
    await row.click();
    await page.getByText('This site is blocked now').waitFor();
    await accessible(page, 'why');
    await picture(page, 'why-phone-en-light');
    await page.getByRole('button', { name: 'Allow for household' }).click();
    await page.getByText('bet365.com is allowed for household').waitFor();
    const profile = await (await page.request.get('/api/v1/profiles/household')).json();
    must(profile.allow.includes('bet365.com'), JSON.stringify(profile.allow));
    await page.getByRole('button', { name: 'Undo' }).click();
    for (let tries = 0; ; tries += 1) {
      const now = await (await page.request.get('/api/v1/profiles/household')).json();
      if (!now.allow?.includes('bet365.com')) break;
      must(tries < 50, 'it is taken back');
      await page.waitForTimeout(100);
    }
    window.calm();
  },
  'a rule that is taken back leaves what another parent changed since': async (browser) => {
    const { page, profile, block, row, calm } = await explained(browser, 'moved.example');
    await block('moved.example');
    await row();
    await page.getByRole('button', { name: 'Allow for household' }).click();
    await page.getByText('moved.example is allowed for household').waitFor();
    await block('later.example');
    await page.getByRole('button', { name: 'Undo' }).click();
    for (let tries = 0; (await profile()).allow?.includes('moved.example'); tries += 1) {
      must(tries < 50, 'it is not taken back');
      await page.waitForTimeout(100);
    }
    const { deny } = await profile();
    must(deny.includes('moved.example'), 'what was moved is not put back');
    must(deny.includes('later.example'), 'what another parent blocked since is gone');
    calm();
  },
  'a rule is added to what another parent saves at the same moment': async (browser) => {
    const { page, profile, block, row, calm } = await explained(browser, 'both.example');
    await row();
    let first = true;
    await page.route('**/api/v1/profiles/household', async (route) => {
      if (first && route.request().method() === 'PUT') {
        first = false;
        await block('theirs.example');
      }
      await route.continue();
    });
    await page.getByRole('button', { name: 'Block for household' }).click();
    await page.getByText('both.example is blocked for household').waitFor();
    const { deny } = await profile();
    must(deny.includes('both.example') && deny.includes('theirs.example'), `one of them is lost: ${deny}`);
    calm();
  },
  'a hostile name is text': async (browser) => {
    const window = await open(browser, 'phone', { language: 'sq' });
    await signIn(window);
    const name = '<img src=x onerror=alert(1)>.example';
    await device('127.0.0.3').ask(name);
    await window.page.goto('/activity');
    await window.page.getByRole('listitem').first().waitFor();
    must((await window.page.locator('main img').count()) === 0, 'no element is made of a name');
    window.calm();
  },
};
