// School: staff and what they see; photos on cards. The caller has claimed the gateway as Ana.
import { accessible } from './pages.mjs';
import { gateway, must, open, picture, signIn } from './harness.mjs';

const REFUSED = [/Failed to load resource/];

/** A school with two classes. */
async function school(browser, screen, language, theme) {
  const window = await open(browser, screen, { language, theme, expected: REFUSED });
  const csrf = await signIn(window);
  const policy = {
    settings: { default_profile: 'class-7a' },
    profile: [{ name: 'class-7a', categories: ['adult'], face: '🦊' }, { name: 'class-8b', categories: ['adult'], face: '🐼' }],
    device: [{ name: 'lab 7a', match: ['cidr:10.7.0.0/16'], profile: 'class-7a' }, { name: 'lab 8b', match: ['cidr:10.8.0.0/16'], profile: 'class-8b' }],
  };
  const answer = await window.page.request.put('/api/v1/policy', { data: policy, headers: { 'x-csrf-token': csrf } });
  must(answer.ok(), `the policy: ${answer.status()} ${await answer.text()}`);
  return window;
}

/** A JPEG file as a camera leaves it: with place and time beside the picture. */
async function photograph(page) {
  const text = await page.evaluate(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 1200, height: 800 });
    const pen = canvas.getContext('2d');
    for (let n = 0; n < 400; n += 1) {
      pen.fillStyle = `hsl(${(n * 37) % 360} 80% ${30 + (n % 50)}%)`;
      pen.fillRect((n * 53) % 1200, (n * 97) % 800, 120, 90);
    }
    return canvas.toDataURL('image/jpeg', 0.95).split(',')[1];
  });
  const plain = Buffer.from(text, 'base64');
  const note = Buffer.from('Exif\0\0GPSLatitude 41.3275 GPSLongitude 19.8187');
  const head = Buffer.from([0xff, 0xe1, 0, note.length + 2]);
  return { name: 'IMG_0001.jpg', mimeType: 'image/jpeg', buffer: Buffer.concat([plain.subarray(0, 2), head, note, plain.subarray(2)]) };
}

export const tests = {
  'an owner gives a teacher a class; the teacher sees that one alone; another class, then none': async (browser) => {
    const window = await school(browser, 'desktop', 'en');
    const { page } = window;
    await page.goto('/school');
    const section = page.getByRole('region', { name: 'Staff' });
    await section.getByText('No staff yet.').waitFor();
    await section.getByRole('button', { name: 'Add staff' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name', { exact: true }).fill('Drita');
    await dialog.getByLabel('Password').fill(gateway.password);
    await dialog.getByRole('checkbox', { name: 'class-7a' }).check();
    await accessible(page, 'adding staff');
    await picture(page, 'staff-add-desktop-en');
    await dialog.getByRole('button', { name: 'Add', exact: true }).click();
    const card = section.getByRole('article').filter({ hasText: 'Drita' });
    await card.locator('.chip').getByText('class-7a').waitFor();
    await section.getByText('Nobody looks after: class-8b').waitFor();
    await card.getByText('What Drita sees').click();
    await card.getByText('10.7.0.0/16').waitFor();
    await accessible(page, 'staff');
    await picture(page, 'staff-desktop-en');

    const teacher = await open(browser, 'phone', { language: 'sq' });
    await signIn(teacher, 'Drita');
    await teacher.page.goto('/school');
    await teacher.page.getByText('Ju kujdeseni për këto grupe.').waitFor();
    const groups = teacher.page.getByRole('table').first();
    await groups.getByRole('row', { name: /class-7a/ }).waitFor();
    must((await teacher.page.getByText('class-8b').count()) === 0, 'another class is seen');
    must((await teacher.page.getByRole('heading', { name: 'Stafi' }).count()) === 0, 'staff see who else is staff');
    await accessible(teacher.page, 'School, as staff see it');
    await picture(teacher.page, 'school-staff-phone-sq');
    await teacher.page.goto('/children');
    await teacher.page.getByRole('link', { name: 'class-7a' }).waitFor();
    must((await teacher.page.getByRole('link', { name: 'class-8b' }).count()) === 0, 'another class has a card');
    for (const path of ['profiles/class-8b', 'policy', 'users', 'alerts/recipients', 'profiles/class-8b/photo']) {
      const answer = await teacher.page.request.get(`/api/v1/${path}`);
      must(answer.status() === 403, `staff get ${path}: ${answer.status()}`);
    }

    await card.getByRole('button', { name: /Change the groups\s*: Drita/ }).click();
    await dialog.getByRole('checkbox', { name: 'class-7a' }).uncheck();
    await dialog.getByRole('checkbox', { name: 'class-8b' }).check();
    await dialog.getByRole('button', { name: 'Save' }).click();
    await card.locator('.chip').getByText('class-8b').waitFor();
    await teacher.page.goto('/school');
    await groups.getByRole('row', { name: /class-8b/ }).waitFor();
    must((await teacher.page.getByText('class-7a').count()) === 0, 'the class that was taken away is seen');

    await card.getByRole('button', { name: /Remove\s*: Drita/ }).click();
    await accessible(page, 'removing staff');
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await section.getByText('No staff yet.').waitFor();
    const session = await teacher.page.request.get('/api/v1/session');
    must((await session.json()).user == null, 'whoever is staff no more is still signed in');
    window.calm();
    teacher.calm();
  },

  'the same in Albanian on a phone, in the dark': async (browser) => {
    const window = await school(browser, 'phone', 'sq', 'dark');
    const { page } = window;
    await page.goto('/school');
    const section = page.getByRole('region', { name: 'Stafi' });
    await section.getByRole('button', { name: 'Shto staf' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Emri', { exact: true }).fill('Genti');
    await dialog.getByLabel('Fjalëkalimi').fill('e shkurt');
    await dialog.getByRole('button', { name: 'Shto', exact: true }).click();
    must(await dialog.isVisible(), 'a short password is taken');
    await dialog.getByLabel('Fjalëkalimi').fill(gateway.password);
    await dialog.getByRole('button', { name: 'Shto', exact: true }).click();
    const card = section.getByRole('article').filter({ hasText: 'Genti' });
    await card.getByText('ende për asnjë profil').waitFor();
    await accessible(page, 'staff in Albanian');
    await picture(page, 'staff-phone-sq-dark');
    const teacher = await open(browser, 'phone', { language: 'sq' });
    await signIn(teacher, 'Genti');
    await teacher.page.goto('/school');
    await teacher.page.getByText('Ende nuk kujdeseni për asnjë grup.').waitFor();
    await accessible(teacher.page, 'School, for staff of no group');
    await card.getByRole('button', { name: /Hiq\s*: Genti/ }).click();
    await dialog.getByRole('button', { name: 'Hiq' }).click();
    await card.waitFor({ state: 'detached' });
    window.calm();
    teacher.calm();
  },

  'a photo is cut out here, kept small and without its place, shown on the card, and removed': async (browser) => {
    for (const [screen, language, words] of [
      ['desktop', 'en', { pick: /Choose a picture for/, choose: 'Use a photo', nearer: 'Nearer', across: 'Left and right', keep: 'Keep this photo', remove: 'Remove the photo', unread: /cannot read this file/ }],
      ['phone', 'sq', { pick: /Zgjidh një figurë për/, choose: 'Përdor një foto', nearer: 'Më afër', across: 'Majtas dhe djathtas', keep: 'Ruaje këtë foto', remove: 'Hiqe foton', unread: /nuk e lexon dot këtë skedar/ }],
    ]) {
      const window = await school(browser, screen, language);
      const { page } = window;
      await page.goto('/child?name=class-7a');
      await page.getByRole('button', { name: words.pick }).click();
      const dialog = page.getByRole('dialog');
      const file = dialog.getByLabel(words.choose);
      await file.setInputFiles({ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') });
      await dialog.getByText(words.unread).waitFor();
      await file.setInputFiles(await photograph(page));
      await dialog.locator('canvas').waitFor();
      // By keyboard: nearer, and to one side.
      await dialog.getByLabel(words.nearer).focus();
      for (let n = 0; n < 8; n += 1) await page.keyboard.press('ArrowRight');
      await dialog.getByLabel(words.across).focus();
      await page.keyboard.press('Home');
      await accessible(page, `cutting a photo out, ${language}`);
      await picture(page, `photo-${screen}-${language}`);
      await dialog.getByRole('button', { name: words.keep }).click();
      await dialog.waitFor({ state: 'detached' });
      await page.locator('header .face img').waitFor();
      const kept = await page.request.get('/api/v1/profiles/class-7a/photo');
      const octets = await kept.body();
      must(kept.headers()['content-type'] === 'image/webp' && kept.headers()['x-content-type-options'] === 'nosniff', `it is sent as ${kept.headers()['content-type']}`);
      must(octets.length <= 32 * 1024 && !octets.includes('GPS') && !octets.includes('Exif'), 'what is kept is large, or says where it was taken');
      await page.goto('/children');
      const image = page.getByRole('article').filter({ hasText: 'class-7a' }).locator('.face img');
      await image.waitFor();
      const side = await image.evaluate((one) => one.decode().then(() => one.naturalWidth));
      must(side === 256, `the photo is ${side} wide`);
      await accessible(page, `a card with a photo, ${language}`);
      await picture(page, `photo-card-${screen}-${language}`);

      await page.goto('/child?name=class-7a');
      await page.getByRole('button', { name: words.pick }).click();
      await dialog.getByRole('button', { name: words.remove }).click();
      await dialog.waitFor({ state: 'detached' });
      await page.locator('header .face').getByText('🦊').waitFor();
      must((await page.request.get('/api/v1/profiles/class-7a/photo')).status() === 404, 'the photo is still there');
      window.calm();
      await window.context.close();
    }
  },

  'of files that are chosen quickly the newest alone is shown and taken': async (browser) => {
    const window = await school(browser, 'desktop', 'en');
    const { page } = window;
    await page.goto('/school');
    const file = page.getByLabel('File', { exact: true });
    let address = 0;
    const choose = (...names) => {
      const text = ['name,match,profile', ...names.map((name) => `${name},ip:10.9.0.${(address += 1)},class-7a`), ''].join('\n');
      return file.setInputFiles({ name: 'lab.csv', mimeType: 'text/csv', buffer: Buffer.from(text) });
    };
    const take = page.getByRole('button', { name: 'Import' });
    const older = (sent) => sent.postData()?.includes('older one') === true;
    let answer = () => undefined;
    const late = new Promise((done) => (answer = done));
    await page.route('**/api/v1/devices/import', async (route) => {
      if (older(route.request())) await late;
      await route.continue();
    });
    const answered = page.waitForResponse((one) => older(one.request()));
    await choose('older one');
    await choose('newer one', 'newer two');
    await page.getByText('2 new').waitFor();
    answer();
    await answered;
    await page.waitForTimeout(300);
    must(await page.getByText('2 new').isVisible(), 'an older file is shown');
    await take.click();
    await page.getByText('The devices were imported').waitFor();
    const { items } = await (await page.request.get('/api/v1/devices')).json();
    must(items.some((one) => one.name === 'newer two') && !items.some((one) => one.name === 'older one'), 'another file was taken');

    await choose('third one');
    await take.waitFor();
    await page.unroute('**/api/v1/devices/import');
    await page.route('**/api/v1/devices/import', (route) => route.fulfill({ status: 503 }));
    await choose('fourth one');
    await page.getByRole('alert').waitFor();
    must((await take.count()) === 0, 'a file whose newer one failed can still be taken');
    window.calm();
  },
};
