// One's own account: a new password, where one is signed in, the second step. The caller has claimed the gateway as Ana.
import { createHmac } from 'node:crypto';
import jsQR from 'jsqr';
import { accessible } from './pages.mjs';
import { gateway, must, open, picture, signIn } from './harness.mjs';

const REFUSED = [/Failed to load resource/];
const NEW = 'five yellow lemons';

/** A window of somebody new, who has signed in. */
async function somebody(browser, name, screen, language) {
  const owner = await open(browser, 'desktop');
  const csrf = await signIn(owner);
  const made = await owner.page.request.post('/api/v1/users', { data: { name, role: 'viewer', profiles: [], language, password: gateway.password }, headers: { 'x-csrf-token': csrf } });
  must(made.ok(), `adding ${name}: ${made.status()}`);
  await owner.context.close();
  const window = await open(browser, screen, { language, expected: REFUSED });
  await signIn(window, name);
  await window.page.goto('/account');
  return window;
}

/** The code of an authenticator app (RFC 6238); `ahead`: steps from now. */
function code(secret, ahead = 0) {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret].map((letter) => letters.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((octet) => parseInt(octet, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + ahead));
  const digest = createHmac('sha1', key).update(step).digest();
  const at = digest[digest.length - 1] & 15;
  return String((digest.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

/** What a phone's camera reads from the picture. */
async function scanned(page) {
  const { data, side } = await page.locator('svg.square').evaluate(async (svg) => {
    const copy = svg.cloneNode(true);
    copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
    copy.setAttribute('width', '400');
    copy.setAttribute('height', '400');
    const image = new Image();
    image.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
    await image.decode();
    const canvas = Object.assign(document.createElement('canvas'), { width: 400, height: 400 });
    const pen = canvas.getContext('2d');
    pen.fillStyle = getComputedStyle(svg).backgroundColor;
    pen.fillRect(0, 0, 400, 400);
    pen.drawImage(image, 0, 0);
    return { data: [...pen.getImageData(0, 0, 400, 400).data], side: 400 };
  });
  return jsQR(Uint8ClampedArray.from(data), side, side)?.data;
}

async function newPassword(browser, name, screen, language, words) {
  const window = await somebody(browser, name, screen, language);
  const { page } = window;
  const elsewhere = await open(browser, 'phone', { expected: REFUSED });
  await signIn(elsewhere, name);
  const card = page.getByRole('region', { name: words.card, exact: true });
  const fill = async (current, first, second) => {
    await card.getByLabel(words.current).fill(current);
    await card.getByLabel(words.fresh, { exact: true }).fill(first);
    await card.getByLabel(words.again).fill(second);
    await card.getByLabel(words.again).press('Enter');
  };
  await fill(gateway.password, NEW, `${NEW}!`);
  await card.getByText(words.differ).waitFor();
  await accessible(page, `two passwords that differ, ${language}`);
  await fill('not the password', NEW, NEW);
  await card.getByText(words.wrong).waitFor();
  await picture(page, `password-wrong-${screen}-${language}`);
  await fill(gateway.password, NEW, NEW);
  await page.getByText(words.done).waitFor();
  must((await card.getByLabel(words.current).inputValue()) === '', 'the password is still on the page');
  must((await elsewhere.page.request.get('/api/v1/sessions')).status() === 401, 'whoever signed in with the old password still is');
  // The page goes on with its new session.
  await page.getByRole('combobox', { name: words.look }).selectOption('dark');
  must((await page.request.get('/api/v1/sessions')).ok(), 'the page is signed out');
  const again = await page.request.post('/api/v1/session', { data: { name, password: NEW } });
  must(again.ok(), 'the new password opens nothing');
  window.calm();
}

export const tests = {
  'a new password, English on a desktop': (browser) =>
    newPassword(browser, 'Besa', 'desktop', 'en', { card: 'Password', current: 'Present password', fresh: 'New password', again: 'The new password once more', differ: 'The two are not the same.', wrong: 'The name or the password is wrong.', done: 'The password was changed', look: 'Look' }),
  'a new password, Albanian on a phone': (browser) =>
    newPassword(browser, 'Blerta', 'phone', 'sq', { card: 'Fjalëkalimi', current: 'Fjalëkalimi i tanishëm', fresh: 'Fjalëkalim i ri', again: 'Fjalëkalimi i ri edhe një herë', differ: 'Të dy nuk janë njësoj.', wrong: 'Emri ose fjalëkalimi është i gabuar.', done: 'Fjalëkalimi u ndryshua', look: 'Pamja' }),

  'where one is signed in: one session is ended, then all others': async (browser) => {
    const window = await somebody(browser, 'Dea', 'phone', 'en');
    const { page } = window;
    const others = [];
    for (let n = 0; n < 3; n += 1) {
      others.push(await open(browser, 'desktop', { expected: REFUSED }));
      await signIn(others[n], 'Dea');
    }
    const living = async () => (await Promise.all(others.map((one) => one.page.request.get('/api/v1/sessions')))).filter((one) => one.ok()).length;
    await page.reload();
    const card = page.getByRole('region', { name: 'Where you are signed in' });
    await card.getByRole('listitem').nth(3).waitFor();
    must((await card.getByText('this device').count()) === 1, 'this device is not told from the others');
    await accessible(page, 'sessions');
    await picture(page, 'sessions-phone-en');
    await card.getByRole('button', { name: /^Sign out\s*:/ }).first().click();
    await card.getByRole('listitem').nth(3).waitFor({ state: 'detached' });
    must((await living()) === 2, 'not one was ended');
    await card.getByRole('button', { name: 'Sign out everywhere else' }).focus();
    await page.keyboard.press('Enter');
    await card.getByRole('listitem').nth(1).waitFor({ state: 'detached' });
    must((await living()) === 0, 'others are still signed in');
    must((await page.request.get('/api/v1/sessions')).ok(), 'this one was ended too');
    window.calm();
  },

  'the second step: scanned, confirmed, asked for at sign-in, a recovery code in its place, off with the password': async (browser) => {
    const window = await somebody(browser, 'Elira', 'phone', 'sq');
    const { page } = window;
    const dialog = page.getByRole('dialog');
    await page.getByRole('button', { name: 'Vendose' }).click();
    await dialog.waitFor();
    await accessible(page, 'the second step begins');
    await picture(page, 'step-begin-phone-sq');
    const uri = new URL(await scanned(page));
    const secret = (await dialog.locator('code').innerText()).replaceAll(' ', '');
    must(uri.protocol === 'otpauth:' && uri.searchParams.get('secret') === secret, `the picture says ${uri}, the page ${secret}`);
    await dialog.getByLabel('Kodi i aplikacionit').fill('000000');
    await dialog.getByRole('button', { name: 'Ndiz' }).click();
    await dialog.getByText(/Kodi është i gabuar/).waitFor();
    await dialog.getByLabel('Kodi i aplikacionit').fill(code(secret));
    await dialog.getByRole('button', { name: 'Ndiz' }).click();
    await dialog.getByRole('heading', { name: 'Kodet e rikuperimit' }).waitFor();
    const codes = await dialog.getByRole('listitem').allInnerTexts();
    must(codes.length === 8 && new Set(codes).size === 8, `${codes.length} recovery codes`);
    await accessible(page, 'recovery codes');
    await picture(page, 'step-codes-phone-sq');
    const saved = page.waitForEvent('download');
    await dialog.getByRole('button', { name: 'Ruaji si skedar' }).click();
    must((await saved).suggestedFilename() === 'isigurt-codes.txt', 'the codes are not saved');
    await dialog.getByRole('button', { name: 'I ruajta' }).click();
    await page.getByText('Hapi i dytë është i ndezur').waitFor();
    await page.reload();
    await page.getByText('Hapi i dytë është i ndezur').waitFor();
    must(!(await page.content()).includes(codes[0]), 'a recovery code is on the page again');

    const enter = async (shown) => {
      await page.getByRole('main').getByRole('button', { name: 'Dil', exact: true }).click();
      await page.getByLabel('Emri', { exact: true }).fill('Elira');
      await page.locator('input[name=password]').fill(gateway.password);
      await page.getByRole('button', { name: 'Hyr', exact: true }).click();
      await page.getByLabel('Kodi i aplikacionit').fill(shown);
      await page.getByRole('button', { name: 'Hyr', exact: true }).click();
      await page.locator('a.account').waitFor();
      await page.goto('/account');
    };
    await enter(code(secret, 1));
    await enter(codes[3]);
    await page.getByRole('button', { name: /Fik\s*: Hapi i dytë/ }).click();
    await accessible(page, 'the second step ends');
    await dialog.getByLabel('Fjalëkalimi i tanishëm').fill('not the password');
    await dialog.getByRole('button', { name: 'Fik' }).click();
    await dialog.getByText('Emri ose fjalëkalimi është i gabuar.').waitFor();
    await dialog.getByLabel('Fjalëkalimi i tanishëm').fill(gateway.password);
    await dialog.getByRole('button', { name: 'Fik' }).click();
    await page.getByRole('button', { name: 'Vendose' }).waitFor();
    window.calm();
  },
};
