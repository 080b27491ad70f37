// System: what an owner sees and changes there. The caller has claimed the gateway as Ana, and named a list "family" whose server is
// started here, at the address in the environment.
import { createServer } from 'node:http';
import { accessible } from './pages.mjs';
import { device, gateway, must, open, picture, signIn } from './harness.mjs';

const [HOST, PORT] = process.env.ISIGURT_LISTS.split(':');

/** A server of lists; `lines`: what it gives. */
async function listServer() {
  const there = { lines: 0, close: () => server.close() };
  const server = createServer((_, answer) => {
    answer.setHeader('content-type', 'text/plain');
    answer.end(Array.from({ length: there.lines }, (_one, place) => `n${place}.listed.example\n`).join(''));
  });
  await new Promise((done) => server.listen(Number(PORT), HOST, done));
  return there;
}

export const tests = {
  'lists are fetched at a word, and one that lost most of its rules waits for the owner': async (browser) => {
    const window = await open(browser, 'phone', { language: 'en' });
    const { page } = window;
    const server = await listServer();
    server.lines = 40;
    await signIn(window);
    await page.goto('/system');
    const ask = page.getByRole('button', { name: 'Ask their servers now' });
    await ask.click();
    const row = page.getByRole('row', { name: /family/ });
    await row.getByText('40', { exact: true }).waitFor();
    const here = device('127.0.0.9');
    must(!(await here.gets('n30.listed.example')), 'the list is not in force');

    server.lines = 4;
    await ask.click();
    await page.getByText('It has 4 lines only; 40 rules are in force.').waitFor();
    await accessible(page, 'a list that is held back');
    await picture(page, 'list-held-phone-en');
    must(!(await here.gets('n30.listed.example')), 'a list that lost most of its rules came into force unasked');
    await page.getByRole('button', { name: /Put it in force\s*: family/ }).click();
    await page.getByText(/waits for you/).waitFor({ state: 'detached' });
    await row.getByText('4', { exact: true }).waitFor();
    must((await here.gets('n30.listed.example')) && !(await here.gets('n3.listed.example')), 'what the owner put in force is not');
    server.close();
    window.calm();
  },

  'a list is looked at before it changes anything, added, and removed': async (browser) => {
    const window = await open(browser, 'phone', { language: 'sq' });
    const { page } = window;
    await signIn(window);
    const lines = ['looked.example', 'looked.example', 'alo116.al', 'whatsapp.com', 'bet365.com', 'not a name', ...Array.from({ length: 30 }, (_, place) => `l${place}.example`)];
    const server = createServer((request, answer) => (request.url === '/l.txt' ? answer.end(lines.join('\n')) : answer.end('<!doctype html><title>Hyr</title>')));
    await new Promise((done) => server.listen(0, HOST, done));
    const at = `http://${HOST}:${server.address().port}`;
    const here = device('127.0.0.9');
    for (let asked = 0; asked < 3; asked += 1) must(await here.gets('looked.example'), 'it is blocked already');
    await page.goto('/system');
    await page.getByRole('button', { name: 'Shto një listë' }).click();
    const dialog = page.getByRole('dialog');
    const address = dialog.getByLabel('Adresa (URL)');
    await address.fill(`${at}/hyrje`);
    await accessible(page, 'adding a list');
    await picture(page, 'list-add-phone-sq');
    await dialog.getByRole('button', { name: 'Shiko çfarë do të bënte' }).click();
    await dialog.getByText('Kjo listë nuk përdoret dot.').waitFor();
    await accessible(page, 'a list that is refused');
    await dialog.getByRole('button', { name: 'Kthehu' }).click();

    await address.fill(`${at}/l.txt`);
    const name = dialog.getByLabel('Emri i listës');
    must((await name.inputValue()) === 'l', 'no name is suggested');
    await name.fill('shtëpia');
    must(!(await name.evaluate((input) => input.checkValidity())), 'a name with an accent is taken');
    await name.fill('familja');
    await dialog.getByLabel('Për çfarë është').selectOption('gambling');
    await dialog.getByRole('button', { name: 'Shiko çfarë do të bënte' }).click();
    await dialog.getByText('Do të bllokohej 1 emër që ishte i hapur. U kërkua 3 herë.').waitFor();
    await dialog.getByRole('row', { name: /looked\.example/ }).getByText('Shtëpia').waitFor();
    await dialog.getByText('alo116.al').waitFor();
    await dialog.getByText(/WhatsApp/).waitFor();
    await dialog.getByText('Rreshtat e parë që nuk janë rregulla').click();
    await dialog.getByRole('listitem').filter({ hasText: /^6 / }).waitFor();
    await accessible(page, 'a list that is looked at');
    await picture(page, 'list-preview-phone-sq');
    await page.setViewportSize({ width: 320, height: 640 });
    must((await page.evaluate(() => document.documentElement.scrollWidth)) <= 320, 'the preview is wider than 320 pixels');
    must(await here.gets('looked.example'), 'a list that is looked at is in force');
    await dialog.getByRole('button', { name: 'Shtoje këtë listë' }).click();
    await dialog.waitFor({ state: 'detached' });
    const row = page.getByRole('row', { name: /familja/ });
    await row.getByText('Shtuar këtu').waitFor();
    must(!(await here.gets('looked.example')) && (await here.gets('alo116.al')), 'the list is not in force');
    await accessible(page, 'a list that was added');
    await row.getByRole('button', { name: /Hiq\s*: familja/ }).click();
    await accessible(page, 'removing a list');
    await dialog.getByRole('button', { name: 'Hiq', exact: true }).click();
    await row.waitFor({ state: 'detached' });
    must(await here.gets('looked.example'), 'a list that was removed is in force');
    server.close();
    window.calm();
  },

  'an owner adds a teacher, who reaches what the account names, and removes the account': async (browser) => {
    const window = await open(browser, 'desktop', { language: 'en' });
    const { page } = window;
    await signIn(window);
    await page.goto('/system');
    await page.getByRole('button', { name: 'Add an account' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name', { exact: true }).fill('Besa');
    await dialog.getByLabel('What it may do').selectOption('staff');
    await dialog.getByRole('checkbox', { name: 'household' }).check();
    await dialog.getByLabel('Password').fill(gateway.password);
    await accessible(page, 'adding an account');
    await picture(page, 'users-add-desktop-en');
    await dialog.getByRole('button', { name: 'Add' }).click();
    const besa = page.getByRole('listitem').filter({ hasText: 'Besa' }).filter({ hasText: 'Has never signed in' });
    await besa.getByText('household').waitFor();
    await accessible(page, 'accounts');
    await picture(page, 'users-desktop-en');

    const teacher = await open(browser, 'phone', { language: 'en' });
    await signIn(teacher, 'Besa');
    await teacher.page.goto('/system');
    await teacher.page.getByRole('heading', { name: 'Certificate' }).waitFor();
    must((await teacher.page.getByRole('heading', { name: 'Accounts' }).count()) === 0, 'staff see the accounts');
    await accessible(teacher.page, 'System, as staff see it');

    await page.reload();
    await page.getByRole('button', { name: /Change\s*: Besa/ }).click();
    await dialog.getByLabel('What it may do').selectOption('viewer');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('listitem').filter({ hasText: 'Besa' }).getByText('Viewer').waitFor();
    await page.getByRole('button', { name: /Remove\s*: Besa/ }).click();
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('button', { name: /Remove\s*: Besa/ }).waitFor({ state: 'detached' });
    const session = await teacher.page.request.get('/api/v1/session');
    must((await session.json()).user == null, 'the session of an account that is gone goes on');
    window.calm();
    teacher.calm();
  },
};
