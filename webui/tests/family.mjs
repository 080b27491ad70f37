// What parents do every day, each with a real DNS query behind it: what is shown as done is in force on the next query.
import { request } from 'node:http';
import { accessible } from './pages.mjs';
import { device, gateway, must, open, picture, signIn } from './harness.mjs';

const ERA = '127.0.0.2';

/** The API, as Ana. */
async function api(window, csrf, method, path, data) {
  const answer = await window.page.request.fetch(`/api/v1${path}`, { method, data, headers: { 'x-csrf-token': csrf } });
  must(answer.ok(), `${method} ${path}: ${answer.status()} ${await answer.text()}`);
}

/** A home with Era, seven to twelve years old, who has a tablet. */
async function home(browser, screen = 'phone', language = 'sq') {
  const window = await open(browser, screen, { language });
  const csrf = await signIn(window);
  const there = await window.page.request.get('/api/v1/profiles/Era');
  if (!there.ok()) {
    const presets = await (await window.page.request.get('/api/v1/presets')).json();
    const { profile, face } = presets.find((one) => one.id === '7-12');
    const open = { ...profile, name: 'Era', face, schedule: [] }; // no bedtime: the tests run at any hour
    await api(window, csrf, 'POST', '/profiles', open);
    await api(window, csrf, 'POST', '/devices', { name: "Era's tablet", match: [`ip:${ERA}`], profile: 'Era' });
  }
  return { ...window, csrf, tablet: device(ERA) };
}

/** A device of the network asks the web server, from its own address. */
function ask(from, path, body) {
  const [host, port] = gateway.web.split(':');
  return new Promise((done, failed) => {
    const text = JSON.stringify(body);
    const asked = request({ host, port, path, method: 'POST', localAddress: from, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } }, (answer) => {
      answer.resume();
      answer.on('end', () => done(answer.statusCode));
    });
    asked.on('error', failed);
    asked.end(text);
  });
}

const save = async (page, word = 'Ruaj') => {
  await page.getByRole('button', { name: word, exact: true }).click();
  await page.locator('.save').waitFor({ state: 'detached' });
};

export const tests = {
  'one tap pauses the internet of a child, and it goes on with another': async (browser) => {
    const { page, tablet, calm } = await home(browser);
    must(await tablet.gets('a.example'), 'the tablet reaches nothing');
    await page.goto('/');
    await page.getByRole('button', { name: /Pauzë\s*: Era$/ }).click();
    await accessible(page, 'pause');
    await page.getByRole('button', { name: '15 min' }).click();
    await page.getByRole('button', { name: /Rikthe internetin .*: Era/ }).waitFor();
    await page.getByText(/Në pauzë deri në/).waitFor();
    await picture(page, 'home-paused-phone-sq');
    must(!(await tablet.gets('a.example')), 'the tablet is not paused');
    await page.getByRole('button', { name: /Rikthe internetin .*: Era/ }).click();
    await page.getByRole('button', { name: /Pauzë\s*: Era$/ }).waitFor();
    must(await tablet.gets('a.example'), 'the tablet is still paused');
    calm();
  },

  'hours in force and used-up minutes are told in words, never as the gateway keeps them': async (browser) => {
    const { page, csrf, calm } = await home(browser);
    const always = [{ preset: 'bedtime', from: '00:00', to: '12:00' }, { preset: 'bedtime', from: '12:00', to: '00:00' }];
    await api({ page }, csrf, 'POST', '/profiles', { name: 'Bora', categories: [], schedule: always });
    await api({ page }, csrf, 'POST', '/profiles', { name: 'Dea', categories: [], budget: [{ what: ['category:games', 'service:roblox'], minutes: 0 }] });
    for (const [name, address] of [['Bora', '127.0.0.21'], ['Dea', '127.0.0.22']]) {
      await api({ page }, csrf, 'POST', '/devices', { name: `${name}'s phone`, match: [`ip:${address}`], profile: name });
      must(!(await device(address).gets('roblox.com')), `${name} reaches a game`);
    }
    await page.goto('/');
    await page.getByText(/^Koha e gjumit deri në /).waitFor();
    await page.goto('/activity?profile=Bora');
    await page.getByText('Koha e gjumit', { exact: true }).first().waitFor();
    await page.goto('/activity?profile=Dea');
    await page.getByText('Koha mbaroi: Lojëra', { exact: true }).first().waitFor();
    await page.goto('/child?name=Dea&tab=names');
    await page.getByLabel('Emri i një faqeje').fill('roblox.com');
    await page.getByRole('button', { name: 'Provo' }).click();
    await page.getByText('Koha mbaroi: Lojëra', { exact: true }).waitFor();
    calm();
  },

  'what a child asks for while the page is still being opened appears all the same': async (browser) => {
    const { page, calm } = await home(browser, 'desktop', 'en');
    let open = () => undefined;
    const late = new Promise((done) => (open = done));
    await page.route('**/api/v1/events', async (route) => {
      await late;
      await route.continue();
    });
    const read = page.waitForResponse('**/api/v1/requests*');
    await page.goto('/');
    await read;
    must((await ask(ERA, '/api/v1/me/requests', { name: 'facebook.com', note: 'early' })) === 201, 'the request was refused');
    open();
    await page.getByText('early').waitFor();
    await page.getByRole('button', { name: /15 minutes\s*: facebook.com/ }).click();
    await page.getByText('early').waitFor({ state: 'detached' });
    calm();
  },

  'what a child asks for appears by itself, and one tap opens it': async (browser) => {
    const { page, tablet, calm } = await home(browser, 'desktop', 'en');
    must(!(await tablet.gets('instagram.com')), 'nothing is blocked');
    await page.goto('/');
    await page.getByRole('heading', { name: 'Your network today' }).waitFor();
    must((await ask(ERA, '/api/v1/me/requests', { name: 'instagram.com', note: 'please <b>mum</b>' })) === 201, 'the request was refused');
    await page.getByText('please <b>mum</b>').waitFor();
    await accessible(page, 'request');
    await picture(page, 'home-request-desktop-en');
    await page.getByRole('button', { name: /15 minutes\s*: instagram.com/ }).click();
    await page.getByText('please <b>mum</b>').waitFor({ state: 'detached' });
    must(await tablet.gets('instagram.com'), 'it stays closed');
    calm();
  },

  'an app is found by its name and blocked': async (browser) => {
    const { page, tablet, calm } = await home(browser);
    must(await tablet.gets('roblox.com'), 'it is blocked already');
    await page.goto('/child?name=Era');
    await page.getByRole('searchbox').fill('róblox');
    await page.getByRole('button', { name: 'Roblox' }).click();
    await save(page);
    must(!(await tablet.gets('roblox.com')), 'it is not blocked');
    await page.getByRole('searchbox').fill('');
    await page.getByRole('button', { name: /Roblox/ }).click();
    await save(page);
    must(await tablet.gets('roblox.com'), 'it is still blocked');
    calm();
  },

  'a site is tested, blocked and allowed': async (browser) => {
    const { page, tablet, calm } = await home(browser, 'desktop', 'en');
    await page.goto('/child?name=Era&tab=names');
    const name = page.getByLabel('Name of a site');
    await name.fill('https://www.bet365.com/sport?x=1');
    await page.getByRole('button', { name: 'Test it' }).click();
    await page.getByText('does not open').waitFor();
    await page.getByText('Gambling', { exact: true }).waitFor();
    await accessible(page, 'verdict');
    await picture(page, 'child-verdict-desktop-en');
    await name.fill('annoying.example');
    await page.getByRole('button', { name: 'Block', exact: true }).click();
    await save(page, 'Save');
    must(!(await tablet.gets('x.annoying.example')), 'it is not blocked');
    await page.getByRole('button', { name: 'Remove annoying.example' }).click();
    await save(page, 'Save');
    must(await tablet.gets('x.annoying.example'), 'it is still blocked');
    calm();
  },

  'hours are dragged over the week, moved by keyboard, and hold': async (browser) => {
    const { page, tablet, calm } = await home(browser, 'desktop', 'en');
    await page.goto('/child?name=Era&tab=hours');
    const grid = page.locator('.grid');
    await grid.scrollIntoViewIfNeeded();
    const box = await grid.boundingBox();
    // All seven days, from midnight to 23:00.
    await page.mouse.move(box.x + box.width / 14, box.y + 2);
    await page.mouse.down();
    await page.mouse.move(box.x + (box.width * 13) / 14, box.y + (box.height * 23) / 24, { steps: 8 });
    await page.mouse.up();
    const piece = page.getByRole('button', { name: /Internet is off, Monday, 00:00–23:00/ });
    await piece.waitFor();
    await accessible(page, 'hours');
    // By keyboard: its end two steps further, over midnight.
    await piece.focus();
    await page.keyboard.press('Shift+ArrowDown');
    await page.getByRole('button', { name: /Monday, 00:00–23:30/ }).waitFor();
    await picture(page, 'child-hours-desktop-en');
    await save(page, 'Save');
    const hour = new Date();
    if (!(hour.getHours() === 23 && hour.getMinutes() >= 28)) must(!(await tablet.gets('a.example')), 'the hours do not hold');
    await page.getByRole('button', { name: /Monday, 00:00–23:30/ }).focus();
    await page.keyboard.press('Delete');
    await save(page, 'Save');
    must(await tablet.gets('a.example'), 'the hours still hold');
    calm();
  },

  'minutes a day are set and given': async (browser) => {
    const { page, tablet, calm } = await home(browser);
    await page.goto('/child?name=Era&tab=minutes');
    await page.getByLabel('Kufizo edhe').selectOption('service:spotify');
    await page.getByRole('button', { name: 'Shto', exact: true }).click();
    await page.getByRole('heading', { name: 'Spotify' }).waitFor();
    await save(page);
    await tablet.ask('spotify.com');
    await page.reload();
    const card = page.locator('article', { hasText: 'Spotify' });
    await card.getByText('kanë mbetur 59 min').waitFor();
    await card.getByRole('button', { name: '+15 min sot' }).click();
    await card.getByText('kanë mbetur 1 orë 14 min').waitFor();
    await accessible(page, 'minutes');
    await picture(page, 'child-minutes-phone-sq');
    calm();
  },

  'a new device is given to a child': async (browser) => {
    const { page, calm } = await home(browser);
    const why = async () => (await (await page.request.get('/api/v1/why?name=instagram.com&device=192.0.2.77')).json()).verdict;
    must((await why()) === 'allowed', 'it is blocked for strangers already');
    await page.goto('/children');
    await page.getByRole('button', { name: /Jepja dikujt\s*: era-phone/ }).click();
    await page.getByLabel('Emri i pajisjes').fill("Era's phone");
    await page.getByLabel('I përket').selectOption('Era');
    await accessible(page, 'placing');
    await picture(page, 'children-placing-phone-sq');
    await page.getByRole('button', { name: 'Ruaj' }).click();
    await page.getByRole('button', { name: /Jepja dikujt\s*: era-phone/ }).waitFor({ state: 'detached' });
    must((await why()) === 'blocked', 'it has not got the rules of its owner');
    await page.goto('/child?name=Era&tab=devices');
    await page.getByRole('heading', { name: "Era's phone" }).waitFor();
    await picture(page, 'child-devices-phone-sq');
    await page.goto('/child?name=Era&tab=history');
    await page.locator('main').getByText('Ana', { exact: true }).first().waitFor();
    calm();
  },

  'a report says honestly that none can be taken without a platform, and names the helplines': async (browser) => {
    const { page, calm } = await home(browser);
    await page.goto('/account');
    await page.getByRole('button', { name: 'Raporto' }).click();
    await page.getByRole('dialog').getByRole('link', { name: /116 111/ }).waitFor();
    await page.getByText('Tani nuk mund të merren raporte').waitFor();
    await accessible(page, 'report');
    await picture(page, 'report-closed-phone-sq');
    calm();
  },

  'a child is added with an age': async (browser) => {
    const { page, calm } = await home(browser, 'desktop', 'en');
    await page.goto('/children');
    await page.getByRole('button', { name: 'Add somebody' }).click();
    await page.getByLabel('Name', { exact: true }).fill('Dritë');
    await page.getByLabel('Age', { exact: true }).selectOption('up-to-6');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await page.getByRole('heading', { level: 1, name: 'Dritë' }).waitFor();
    must(await page.getByLabel(/Allowed sites only/).first().isChecked(), 'the little ones see everything');
    await picture(page, 'child-new-desktop-en');
    calm();
  },
};
