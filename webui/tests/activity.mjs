// Activity: queries appear as they are asked, with why and what can be done; a log of many rows stays smooth and small.
import { device, gateway, must, open, picture, signIn } from './harness.mjs';
import { accessible } from './pages.mjs';

const ROWS = Number(process.env.ISIGURT_ROWS ?? 0);

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
  'a long log scrolls smoothly and holds few rows': async (browser) => {
    const window = await open(browser, 'desktop', { language: 'en' });
    await signIn(window);
    const { page } = window;
    await page.goto('/activity?profile=household');
    const list = page.getByRole('region', { name: 'Activity' });
    await list.getByRole('listitem').first().waitFor();
    const measured = await list.evaluate(async (box) => {
      const frames = [];
      let last = performance.now();
      const end = last + 4000;
      while (performance.now() < end) {
        await new Promise((done) => requestAnimationFrame(done));
        box.scrollTop += 400;
        const now = performance.now();
        frames.push(now - last);
        last = now;
      }
      frames.sort((one, other) => one - other);
      return { fps: (1000 * frames.length) / frames.reduce((sum, one) => sum + one, 0), slow: frames[Math.floor(frames.length * 0.95)], held: box.querySelectorAll('[role=listitem]').length };
    });
    const told = await page.getByRole('status').first().textContent();
    console.log(`log of ${ROWS.toLocaleString('en')} rows: ${measured.fps.toFixed(0)} frames a second while it scrolls, 95 of 100 within ${measured.slow.toFixed(0)} ms; ${measured.held} rows in the page; "${told?.trim()}" (http://${gateway.web})`);
    must(measured.held < 80, `${measured.held} rows are in the page`);
    must(measured.fps > 5, `${measured.fps} frames a second`);
    window.calm();
  },
};
