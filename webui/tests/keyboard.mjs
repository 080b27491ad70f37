// Everything that is done every day, by keyboard alone: Tab, arrows, Enter, Space, Escape. The focus is always somewhere, can be seen, goes
// into dialogs and comes back from them. The caller has claimed the gateway as Ana; the first run has a test of its own (`start.mjs`).
import { createServer } from 'node:http';
import { accessible } from './pages.mjs';
import { device, gateway, must, open, reach, signIn } from './harness.mjs';

const ERA = '127.0.0.2';
/** A list, served here. */
const LISTED = 'keyboard.listed.example';

async function desk(browser) {
  const window = await open(browser, 'desktop', { language: 'en' });
  // A mouse would give itself away.
  await window.page.addInitScript(() => addEventListener('pointerdown', () => console.error('a pointer was used'), true));
  return window;
}

/** The keyboard on a page. */
function hands(page) {
  const button = (name, where = page) => where.getByRole('button', { name });
  const press = async (target, key = 'Enter') => {
    await reach(page, target);
    await page.keyboard.press(key);
  };
  const type = async (target, text) => {
    await reach(page, target);
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type(text);
  };
  /** Chooses in a closed list, as its first letters do. */
  const choose = async (target, text) => {
    await reach(page, target);
    await page.keyboard.type(text);
  };
  const focused = (target) => target.evaluate((element) => element === document.activeElement);
  const eventually = async (what, test) => {
    for (let tries = 0; !(await test()); tries += 1) {
      must(tries < 60, what);
      await page.waitForTimeout(50);
    }
  };
  /** The focus is where it should be. */
  const stays = (target, what) => eventually(`the focus is not on ${what}: ${target}`, async () => (await target.count()) === 1 && focused(target));
  const nowhere = () => page.evaluate(() => document.activeElement === document.body || document.activeElement === null);
  /** The dialog holds the focus, whichever way one goes, and Escape gives it back to what opened it. */
  const dialog = async (opener, within) => {
    await press(opener);
    const box = page.getByRole('dialog');
    await box.waitFor();
    const inside = () => page.evaluate(() => document.querySelector('dialog[open]')?.contains(document.activeElement) === true);
    await eventually('the focus does not go into the dialog', inside);
    for (const key of ['Tab', 'Shift+Tab']) {
      for (let presses = 0; presses < 12; presses += 1) {
        await page.keyboard.press(key);
        // Between the last and the first the browser itself may have it.
        must((await inside()) || (await nowhere()), 'the focus leaves the dialog');
      }
    }
    await page.keyboard.press('Escape');
    await box.waitFor({ state: 'detached' });
    await stays(opener, 'what opened the dialog');
    await page.keyboard.press('Enter');
    await box.waitFor();
    await within(box);
  };
  return { button, press, type, choose, stays, eventually, nowhere, dialog };
}

export const tests = {
  'signing in, and past the navigation to the content': async (browser) => {
    const { page, calm } = await desk(browser);
    const { press, type, stays, eventually } = hands(page);
    await page.goto('/');
    await type(page.locator('input[name=username]'), 'Ana');
    await type(page.locator('input[name=password]'), gateway.password);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Your network today' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { level: 1, name: 'Your network today' }).waitFor();
    await page.keyboard.press('Tab');
    const skip = page.getByRole('link', { name: 'Skip to the content' });
    await stays(skip, 'the skip link');
    must((await skip.boundingBox()).y >= 0, 'the skip link cannot be seen');
    await page.keyboard.press('Enter');
    await stays(page.locator('main'), 'the content');
    await page.keyboard.press('Tab');
    must(await page.evaluate(() => document.querySelector('main').contains(document.activeElement)), 'behind the skip link lies not the content');
    // Each page of the navigation is reached, and its heading has the focus then.
    for (const name of ['Children', 'Activity', 'School', 'System', 'Home']) {
      await press(page.getByRole('navigation').getByRole('link', { name, exact: true }));
      await eventually(`the heading of ${name} has not the focus`, () => page.evaluate(() => document.activeElement?.tagName === 'H1'));
    }
    calm();
  },

  'a pause, and its end': async (browser) => {
    const window = await desk(browser);
    const { page, calm } = window;
    await signIn(window);
    const { button, press, stays, dialog } = hands(page);
    await page.goto('/');
    const pause = button(/^(Pause|Turn it on again).*: Household$/);
    await dialog(pause, async (box) => {
      await accessible(page, 'pause, by keyboard');
      await press(button('15 min', box), 'Space');
      await box.waitFor({ state: 'detached' });
    });
    await button(/^Turn it on again.*: Household$/).waitFor();
    await stays(pause, 'the button that ends the pause');
    must(!(await device('127.0.0.8').gets('a.example')), 'nothing is paused');
    await page.keyboard.press('Enter');
    await button(/^Pause.*: Household$/).waitFor();
    await stays(pause, 'the button that pauses');
    must(await device('127.0.0.8').gets('a.example'), 'it is still paused');
    calm();
  },

  'a child with hours on the week and minutes a day': async (browser) => {
    const window = await desk(browser);
    const { page, calm } = window;
    const csrf = await signIn(window);
    const { button, press, type, choose, stays, nowhere, dialog } = hands(page);
    await page.goto('/children');
    await dialog(button('Add somebody'), async (box) => {
      await type(box.getByLabel('Name', { exact: true }), 'Era');
      await choose(box.getByLabel('Age', { exact: true }), '7');
      await page.keyboard.press('Enter'); // of a list that is closed: nothing is sent
      await press(button('Add', box).and(box.locator('.primary')));
    });
    await page.getByRole('heading', { level: 1, name: 'Era' }).waitFor();
    const tablet = await page.request.post('/api/v1/devices', { data: { name: 'tablet', match: [`ip:${ERA}`], profile: 'Era' }, headers: { 'x-csrf-token': csrf } });
    must(tablet.ok(), `the device: ${tablet.status()}`);

    // Hours: along the tabs with arrows, then new ones, moved over the week.
    const tab = (name) => page.getByRole('tab', { name, exact: true });
    await reach(page, tab('Content'));
    await page.keyboard.press('ArrowRight');
    await stays(tab('Hours'), 'the next tab');
    await press(button('Other hours'));
    const box = page.getByRole('dialog');
    await press(button('Done', box));
    await stays(button('Other hours'), 'what opened the dialog');
    const piece = (hours) => button(new RegExp(`Internet is off, Monday, ${hours}`));
    await reach(page, piece('12:00–13:00'), 'Shift+Tab');
    await page.keyboard.press('ArrowDown');
    await stays(piece('12:30–13:30'), 'the hours that were moved');
    await page.keyboard.press('Shift+ArrowDown');
    await stays(piece('12:30–14:00'), 'the hours that were made longer');
    await dialog(piece('12:30–14:00'), async () => page.keyboard.press('Escape'));
    await accessible(page, 'hours, by keyboard');
    await press(page.getByRole('button', { name: 'Save', exact: true }));
    await page.locator('.save').waitFor({ state: 'detached' });
    await stays(tab('Hours'), 'the tab, once the bar is gone');
    const profile = async () => (await page.request.get('/api/v1/profiles/Era')).json();
    must((await profile()).schedule.some((one) => one.from === '12:30' && one.to === '14:00'), 'the hours are not saved');
    await reach(page, piece('12:30–14:00'));
    await page.keyboard.press('Delete');
    await piece('12:30–14:00').waitFor({ state: 'detached' });
    must(!(await nowhere()), 'the focus went with the hours');

    // Minutes: chosen, added, made more.
    await reach(page, tab('Hours'), 'Shift+Tab');
    await page.keyboard.press('ArrowRight');
    await stays(tab('Minutes'), 'the next tab');
    await choose(page.getByLabel('Limit also'), 'Spotify');
    await press(page.getByRole('tabpanel').getByRole('button', { name: 'Add', exact: true }));
    const card = page.locator('article', { hasText: 'Spotify' });
    await press(button('More', card), 'Space');
    await page.keyboard.press('Space');
    await card.getByText('1 h 30 min a day').waitFor();
    await press(page.getByRole('button', { name: 'Save', exact: true }));
    await page.locator('.save').waitFor({ state: 'detached' });
    must((await profile()).budget.some((one) => one.what.includes('service:spotify') && one.minutes === 90), 'the minutes are not saved');
    calm();
  },

  'what was asked for: found, explained, allowed and blocked': async (browser) => {
    const window = await desk(browser);
    const { page, calm } = window;
    await signIn(window);
    const { button, press, type, choose, stays, dialog } = hands(page);
    const stranger = device('127.0.0.8');
    must(!(await stranger.gets('www.bet365.com')) && (await stranger.gets('www.keyboard.example')), 'it is not as it should be');
    await page.goto('/activity');
    const search = page.getByRole('searchbox');
    await type(search, 'bet365');
    await page.waitForURL(/name=bet365/);
    await stays(search, 'the field that is typed in');
    const verdict = page.getByLabel('Result');
    await choose(verdict, 'does not');
    await page.waitForURL(/verdict=blocked/);
    await stays(verdict, 'the list that was chosen from');
    const row = (name) => page.getByRole('listitem').getByRole('button', { name }).first();
    await dialog(row(/bet365\.com/), async (box) => {
      await accessible(page, 'why, by keyboard');
      await press(button('Allow for Household', box));
      await box.waitFor({ state: 'detached' });
    });
    await stays(row(/bet365\.com/), 'the row');
    must(await stranger.gets('www.bet365.com'), 'it is not allowed');
    await reach(page, verdict, 'Shift+Tab');
    await page.keyboard.press('Home');
    await page.waitForURL((url) => !url.searchParams.has('verdict'));
    await reach(page, search, 'Shift+Tab');
    await type(search, 'keyboard.example');
    await dialog(row(/keyboard\.example/), async (box) => {
      await press(button('Block for Household', box));
      await box.waitFor({ state: 'detached' });
    });
    must(!(await stranger.gets('www.keyboard.example')), 'it is not blocked');
    calm();
  },

  'a list: looked at, added and removed': async (browser) => {
    const window = await desk(browser);
    const { page, calm } = window;
    await signIn(window);
    const { button, press, type, choose, stays, eventually, nowhere, dialog } = hands(page);
    const server = createServer((_, answer) => answer.end(`${LISTED}\nno name at all\n`));
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    const here = device('127.0.0.8');
    must(await here.gets(LISTED), 'it is blocked already');
    await page.goto('/system');
    await dialog(button('Add a list'), async (box) => {
      await type(box.getByLabel('Address (URL)'), `http://127.0.0.1:${server.address().port}/by-hand.txt`);
      await choose(box.getByLabel('What it is about'), 'Gambling');
      await press(button('See what it would do', box));
      await box.getByText('1 name that was open would be blocked').waitFor();
      await eventually('the focus is lost when the preview comes', async () => !(await nowhere()));
      await accessible(page, 'a list that is looked at, by keyboard');
      await press(button('Add this list', box));
      await box.waitFor({ state: 'detached' });
    });
    await stays(button('Add a list'), 'what opened the dialog');
    await eventually('the list is not in force', async () => !(await here.gets(LISTED)));
    await dialog(button(/Remove\s*: by-hand/), async (box) => {
      await press(button('Remove', box));
      await box.waitFor({ state: 'detached' });
    });
    await button(/Remove\s*: by-hand/).waitFor({ state: 'detached' });
    await eventually('the focus went with the list', async () => !(await nowhere()));
    await eventually('the list is still in force', () => here.gets(LISTED));
    server.close();
    calm();
  },

  'a school: devices from a spreadsheet, an exam and its end': async (browser) => {
    const window = await desk(browser);
    const { page, calm } = window;
    await signIn(window);
    const { button, press, stays, eventually, nowhere } = hands(page);
    await page.goto('/school');
    const file = page.getByLabel('File', { exact: true });
    await reach(page, file);
    const chooser = page.waitForEvent('filechooser');
    await page.keyboard.press('Space');
    const text = 'name,match,profile\nlab one,ip:127.0.0.6,household\n';
    await (await chooser).setFiles({ name: 'lab.csv', mimeType: 'text/csv', buffer: Buffer.from(text) });
    await press(button('Import'));
    await page.getByText('The devices were imported').waitFor();
    const group = page.getByRole('group', { name: 'For which groups' }).getByRole('checkbox', { name: 'household' });
    await press(group, 'Space');
    must(await group.isChecked(), 'the group is not chosen');
    const plan = button('Plan the exam');
    await press(plan);
    await page.getByRole('heading', { name: 'Planned exams' }).waitFor();
    await stays(plan, 'the button that plans');
    await accessible(page, 'an exam, by keyboard');
    await press(button(/^Remove\s*: /));
    await page.getByRole('heading', { name: 'Planned exams' }).waitFor({ state: 'detached' });
    await eventually('the focus went with the exam', async () => !(await nowhere()));
    calm();
  },

  'a report, as far as it goes without a platform': async (browser) => {
    const window = await desk(browser);
    const { page, calm } = window;
    await signIn(window);
    const { button, press, type, dialog } = hands(page);
    await page.goto('/child?name=household&tab=names');
    await page.getByLabel('Name of a site').waitFor();
    await type(page.getByLabel('Name of a site'), 'worse.example');
    await page.keyboard.press('Enter');
    await dialog(button(/Report\s*: worse\.example/), async (box) => {
      await box.getByRole('link', { name: /116 111/ }).waitFor();
      await press(button('Close', box));
      await box.waitFor({ state: 'detached' });
    });
    calm();
  },
};
