// What the browser tests share: windows whose errors fail the test, devices that ask real DNS queries, and the word to the caller
// that the gateway shall stop or start.
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Resolver } from 'node:dns/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where pictures of the pages are left. */
const PICTURES = join(dirname(fileURLToPath(import.meta.url)), '../../target/screenshots');
/** Screens: a phone and a desktop. */
export const SCREENS = {
  phone: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 },
  desktop: { viewport: { width: 1280, height: 800 } },
};
/** What the caller says of the gateway. */
export const gateway = {
  web: process.env.ISIGURT_WEB,
  dns: process.env.ISIGURT_DNS,
  code: process.env.ISIGURT_CODE,
  password: process.env.ISIGURT_PASSWORD,
};

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the caller stop, start or restart the gateway. */
export async function tell(order) {
  process.stdout.write(`@${order}\n`);
  const answer = await lines.next();
  if (answer.value !== 'done') throw new Error(`the gateway did not ${order}: ${answer.value}`);
}

/** A resolver that asks the gateway from this loopback address. */
export function device(address) {
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  resolver.setServers([gateway.dns]);
  resolver.setLocalAddress(address);
  return {
    /** Whether the name is answered with something else than what stands for "blocked". */
    async gets(name) {
      const found = await resolver.resolve4(name).catch((error) => {
        if (error.code === 'ENOTFOUND' || error.code === 'ENODATA') return [];
        throw error;
      });
      return found.length > 0 && found.every((one) => one !== '0.0.0.0');
    },
    ask: (name) => resolver.resolve4(name).catch(() => []),
  };
}

export function must(condition, what) {
  if (!condition) throw new Error(what);
}

/**
 * A window of Chromium whose errors fail the test; `host`: what it calls the gateway, if not by its address; `others`: where else it may
 * go.
 */
export async function open(browser, screen, { language = 'sq', theme = 'light', expected = [], host, others = [] } = {}) {
  const web = host ? `${host}:${gateway.web.split(':').at(-1)}` : gateway.web;
  const context = await browser.newContext({ ...SCREENS[screen], locale: language, colorScheme: theme, baseURL: `http://${web}`, reducedMotion: 'reduce' });
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(`page: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return;
    const text = `${message.text()} ${message.location().url}`;
    if (!expected.some((one) => one.test(text))) errors.push(`console: ${text}`);
  });
  page.on('request', (request) => {
    // What another's pages load is not ours to judge.
    const theirs = !request.isNavigationRequest() && others.some((one) => request.frame().url().startsWith(`http://${one}/`));
    const known = theirs || [web, ...others].some((one) => request.url().startsWith(`http://${one}/`));
    if (!known && !request.url().startsWith('data:')) errors.push(`foreign request: ${request.url()}`);
  });
  page.setDefaultTimeout(10_000);
  return { context, page, errors, calm: () => must(errors.length === 0, errors.join('\n')) };
}

/** Gives a window the authenticator that Chromium has for tests: one in the device, which its user unlocks at once. */
export async function authenticator({ context, page }) {
  const client = await context.newCDPSession(page);
  await client.send('WebAuthn.enable');
  const options = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
  const { authenticatorId } = await client.send('WebAuthn.addVirtualAuthenticator', { options });
  return {
    /** What it keeps. */
    passkeys: async () => (await client.send('WebAuthn.getCredentials', { authenticatorId })).credentials,
    /** Loses all that it keeps. */
    lose: () => client.send('WebAuthn.clearCredentials', { authenticatorId }),
  };
}

/** Signs in by the API, as the pages do; the window has the cookie then. */
export async function signIn({ page }, name = 'Ana') {
  const answer = await page.request.post('/api/v1/session', { data: { name, password: gateway.password } });
  must(answer.ok(), `signing in: ${answer.status()}`);
  return (await answer.json()).csrf;
}

/** Presses Tab until what is wanted has the focus, which can be seen there. */
export async function reach(page, wanted, key = 'Tab') {
  await wanted.waitFor();
  for (let presses = 0; presses < 120; presses += 1) {
    const seen = await wanted.evaluate((element) => {
      if (element !== document.activeElement) return null;
      const marked = element.closest('.choice') ?? element;
      const { outlineStyle, outlineWidth } = getComputedStyle(marked);
      return element.matches(':focus-visible') && outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
    });
    if (seen !== null) {
      must(seen, `the focus cannot be seen on ${wanted}`);
      return;
    }
    await page.keyboard.press(key);
  }
  throw new Error(`the keyboard does not reach ${wanted}`);
}

/** Leaves a picture of the page. */
export async function picture(page, name) {
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
}
