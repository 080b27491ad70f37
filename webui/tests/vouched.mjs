// Sign-in by a school's own service, from the gateway's page over the service's own login pages and back: a real one (npm oidc-provider).
// The caller has claimed the gateway as Ana, and made two classes; the service knows Sara, a teacher of 7a, and Pupil, who teaches nobody.
import { accessible } from './pages.mjs';
import { must, open, picture, signIn } from './harness.mjs';

const SERVICE = process.env.ISIGURT_SERVICE;
const BUTTON = /Sign in with the school's account/;

/** Through the service's own pages, as who. */
async function through(page, who) {
  await page.route(/^https:/, (route) => route.abort()); // its pages ask for fonts out there
  await page.waitForURL(`http://${SERVICE}/**`);
  await page.locator('input[name=login]').fill(who);
  await page.locator('input[name=password]').fill('x');
  await page.locator('button[type=submit]').click();
  // What the service may tell of her.
  await page.getByRole('button', { name: 'Continue' }).click();
}

/** What the service's own pages do is not ours to judge. */
const theirs = [new RegExp(`http://${SERVICE}/`), /Content.Security.Policy|favicon|fonts/i];

export const tests = {
  'a teacher comes back signed in, and sees her class alone': async (browser) => {
    const window = await open(browser, 'phone', { language: 'en', expected: [...theirs, /403/], others: [SERVICE] });
    const { page } = window;
    await page.goto('/');
    await page.getByRole('link', { name: BUTTON }).click();
    await through(page, 'sara');
    await page.getByRole('link', { name: /Your account/ }).waitFor();
    must(new URL(page.url()).pathname === '/', `she is at ${page.url()}`);
    await page.goto('/children');
    await page.getByRole('link', { name: 'class-7a' }).waitFor();
    must((await page.getByText('class-7b').count()) === 0, 'she sees another class');
    await accessible(page, 'a teacher’s classes');
    await picture(page, 'vouched-phone-en');
    const cookies = await window.context.cookies(page.url());
    must(cookies.filter((one) => one.name === 'isigurt_session').every((one) => one.httpOnly && one.sameSite === 'Strict'), JSON.stringify(cookies));
    // Scripts of the page never see it.
    must(!(await page.evaluate(() => document.cookie)).includes('isigurt_session'), 'a script reads the session');
    await page.goto('/account');
    must((await page.getByRole('button', { name: 'Make a passkey' }).count()) === 0, 'an account of the service gets another way in');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.locator('input[name=password]').waitFor();
    window.calm();
  },

  'whoever teaches nobody is told so in both languages, and is not signed in': async (browser) => {
    const window = await open(browser, 'desktop', { language: 'en', expected: [...theirs, /403/], others: [SERVICE] });
    const { page } = window;
    await page.goto('/');
    await page.getByRole('link', { name: BUTTON }).click();
    await through(page, 'pupil');
    await page.getByRole('heading', { name: /Not signed in/ }).waitFor();
    await page.getByText(/Hyrja nuk u krye/).waitFor();
    await accessible(page, 'nobody’s teacher');
    await picture(page, 'vouched-refused-desktop-en');
    const session = await (await page.request.get('/api/v1/session')).json();
    must(session.user == null, 'somebody is signed in');
    window.calm();
  },

  'a session that ended goes on beside the page, and what was typed is there': async (browser) => {
    const window = await open(browser, 'desktop', { language: 'en', expected: [...theirs, /401/, /403/], others: [SERVICE] });
    const { page, context } = window;
    await page.goto('/');
    await page.getByRole('link', { name: BUTTON }).click();
    await through(page, 'sara');
    await page.getByRole('link', { name: /Your account: sara/ }).waitFor();
    await page.goto('/child?name=class-7a&tab=names');
    await page.getByLabel('Name of a site').fill('vouched.example');
    await page.getByRole('button', { name: 'Block', exact: true }).click();
    await context.clearCookies({ name: 'isigurt_session' });
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    const opened = context.waitForEvent('page');
    await page.getByRole('dialog').getByRole('link', { name: BUTTON }).click();
    const other = await opened;
    // The service still knows her.
    await other.getByRole('link', { name: /Your account: sara/ }).waitFor();
    await other.close();
    await page.bringToFront();
    await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange'))); // a headless browser hides no page
    await page.locator('.save').waitFor({ state: 'detached' });
    const owner = await open(browser, 'phone', { language: 'en' });
    await signIn(owner);
    const profile = await (await owner.page.request.get('/api/v1/profiles/class-7a')).json();
    must(profile.deny.includes('vouched.example'), JSON.stringify(profile));
    window.calm();
  },
};
