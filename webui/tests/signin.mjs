// Ways in beside the password: passkeys, with the authenticator that Chromium has for tests, and the school's own service, which does
// not answer here. The caller has claimed the gateway as Ana, and named the service "Gymnasium".
import { accessible } from './pages.mjs';
import { authenticator, device, gateway, must, open, picture, signIn } from './harness.mjs';

/** What the browser itself says of an answer that refuses. */
const REFUSED = [/Failed to load resource/];

/** A window on the gateway's own machine, where browsers allow passkeys, with an authenticator. */
async function local(browser, screen, language) {
  const window = await open(browser, screen, { language, host: 'localhost', expected: REFUSED });
  return { ...window, keys: await authenticator(window) };
}

/** Makes a passkey on the account page. */
async function make(page, name) {
  await page.goto('/account');
  await page.getByLabel('Name of the passkey').fill(name);
  await page.getByRole('button', { name: 'Make a passkey' }).click();
  await page.getByRole('listitem').filter({ hasText: name }).waitFor();
}

async function signOut(page) {
  await page.goto('/account');
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await page.locator('input[name=password]').waitFor();
}

export const tests = {
  'a passkey is made on the account page, renamed, signs in without a password, and opens nothing once it is removed': async (browser) => {
    const window = await local(browser, 'desktop', 'en');
    const { page, keys } = window;
    await signIn(window);
    await make(page, 'Old laptop');
    must((await keys.passkeys()).length === 1, 'the device keeps no passkey');
    await page.getByText('not used yet').waitFor();
    await page.getByRole('button', { name: /Rename\s*: Old laptop/ }).click();
    const dialog = page.getByRole('dialog');
    await accessible(page, 'renaming a passkey');
    await dialog.getByLabel('Name of the passkey').fill('Ana’s laptop');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('button', { name: /Rename\s*: Ana’s laptop/ }).waitFor();
    await accessible(page, 'passkeys');
    await picture(page, 'passkeys-desktop-en');

    await page.getByRole('button', { name: 'Make a passkey' }).click();
    await page.getByText('This device has a passkey for your account already.').waitFor();

    await signOut(page);
    const button = page.getByRole('button', { name: 'Sign in with a passkey' });
    await button.waitFor();
    await accessible(page, 'sign-in with other ways');
    await picture(page, 'signin-ways-desktop-en');
    await button.click();
    await page.getByRole('link', { name: /Your account: Ana/ }).waitFor();
    await page.goto('/account');
    await page.getByRole('region', { name: 'Passkeys' }).getByText('last used just now').waitFor();

    await page.getByRole('button', { name: /Remove\s*: Ana’s laptop/ }).click();
    await accessible(page, 'removing a passkey');
    await picture(page, 'passkey-remove-desktop-en');
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('button', { name: /Remove\s*: Ana’s laptop/ }).waitFor({ state: 'detached' });
    await signOut(page);
    await page.getByRole('button', { name: 'Sign in with a passkey' }).click();
    await page.getByText('This passkey does not open an account here.').waitFor();
    await accessible(page, 'a passkey that is not taken');
    await picture(page, 'signin-passkey-refused-desktop-en');
    await page.getByLabel('Name', { exact: true }).fill('Ana');
    await page.getByLabel('Password').fill(gateway.password);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.getByRole('link', { name: /Your account: Ana/ }).waitFor();
    window.calm();
  },

  'a session that ends goes on with a passkey, and what was typed is there': async (browser) => {
    const window = await local(browser, 'phone', 'en');
    const { page } = window;
    const csrf = await signIn(window);
    await make(page, 'Phone');
    await page.goto('/child?name=household&tab=names');
    await page.getByLabel('Name of a site').fill('passkey.example');
    await page.getByRole('button', { name: 'Block', exact: true }).click();
    const ended = await page.request.delete('/api/v1/session', { headers: { 'x-csrf-token': csrf } });
    must(ended.ok(), `signing out: ${ended.status()}`);
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Sign in with a passkey' }).waitFor();
    await accessible(page, 'signing in again with other ways');
    await picture(page, 'signin-again-ways-phone-en');
    await dialog.getByRole('button', { name: 'Sign in with a passkey' }).click();
    await page.locator('.save').waitFor({ state: 'detached' });
    must(!(await device('127.0.0.9').gets('passkey.example')), 'what was saved is not in force');
    window.calm();
  },

  'a device that has lost its passkey is told so, and the password is a way in': async (browser) => {
    const window = await local(browser, 'phone', 'en');
    const { page, keys } = window;
    await signIn(window);
    await make(page, 'Lost phone');
    await signOut(page);
    await keys.lose();
    await page.getByRole('button', { name: 'Sign in with a passkey' }).click();
    await page.getByText('No passkey was used').waitFor();
    must((await page.getByRole('button', { name: 'Sign in', exact: true }).count()) === 1, 'the password is no way in');
    window.calm();
  },

  'where browsers allow no passkeys none is offered, and the account page says why': async (browser) => {
    const window = await open(browser, 'phone', { language: 'sq' });
    const { page } = window;
    await page.goto('/');
    await page.getByRole('link', { name: /Hyr me llogarinë e shkollës/ }).waitFor();
    must((await page.getByRole('button', { name: /çelës/ }).count()) === 0, 'a passkey is offered where browsers allow none');
    await accessible(page, 'sign-in at an address');
    await picture(page, 'signin-ways-phone-sq');
    await signIn(window);
    await page.goto('/account');
    await page.getByText(/Këtu nuk krijohen dot çelësa të rinj/).waitFor();
    must((await page.getByRole('button', { name: 'Krijo një çelës' }).count()) === 0, 'a passkey can be made where browsers allow none');
    const there = await page.getByRole('link', { name: /localhost/ }).getAttribute('href');
    must(new URL(there).hostname === 'localhost', `the way to a name that works leads to ${there}`);
    await accessible(page, 'no passkeys');
    await picture(page, 'passkeys-not-phone-sq');
    window.calm();
  },

  'the school’s own service is a way in, and its silence is told in words': async (browser) => {
    const window = await open(browser, 'phone', { language: 'sq', expected: REFUSED });
    const { page } = window;
    await page.goto('/');
    await page.getByRole('link', { name: 'Hyr me llogarinë e shkollës: Gymnasium' }).click();
    await page.getByRole('heading', { name: /Hyrja nuk u krye/ }).waitFor();
    await page.getByRole('link', { name: /Kthehu/ }).click();
    await page.locator('input[name=password]').waitFor();
    window.calm();
  },
};
