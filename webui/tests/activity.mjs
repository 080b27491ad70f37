// Activity: queries appear as they are asked, with why and what can be done. A log of many rows has a test of its own (`long.mjs`).
import { device, must, open, picture, signIn } from './harness.mjs';
import { accessible } from './pages.mjs';

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
