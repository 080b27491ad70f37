// Every page, in both languages and both themes, at phone and desktop size: no violation that axe-core finds, nothing wider
// than a narrow screen, no error in the console; and a picture of each.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { gateway, must, open, picture, signIn } from './harness.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Pages of the UI, by what their pictures are called. A page's own tests look at what it does; these at how it is. */
export const PAGES = {
  home: '/',
  children: '/children',
  content: '/child?name=household',
  hours: '/child?name=household&tab=hours',
  minutes: '/child?name=household&tab=minutes',
  sites: '/child?name=household&tab=names',
  devices: '/child?name=household&tab=devices',
  history: '/child?name=household&tab=history',
  activity: '/activity',
  overview: '/activity/overview',
  school: '/school',
  system: '/system',
  account: '/account',
  nowhere: '/there-is-no-such-page',
};

/** Fails with what axe-core finds. */
export async function accessible(page, what) {
  await page.evaluate(AXE).catch(() => undefined);
  const found = await page.evaluate(async (tags) => {
    const { violations } = await globalThis.axe.run(document, { runOnly: tags });
    return violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} (${node.any[0]?.message ?? ''})`).join(' | ')}`);
  }, TAGS);
  must(found.length === 0, `${what}: axe-core finds\n${found.join('\n')}`);
}

async function settled(page) {
  await page.locator('main h1').waitFor();
  await page.waitForFunction(() => document.querySelectorAll('.waiting').length === 0);
}

async function look(browser, screen, language, theme) {
  const window = await open(browser, screen, { language, theme });
  await signIn(window);
  for (const [name, address] of Object.entries(PAGES)) {
    await window.page.goto(address);
    await settled(window.page);
    await accessible(window.page, `${name} ${screen} ${language} ${theme}`);
    const lang = await window.page.evaluate(() => document.documentElement.lang);
    must(lang === language, `${name}: the page speaks ${lang}, not ${language}`);
    await picture(window.page, `${name}-${screen}-${language}-${theme}`);
  }
  window.calm();
}

export const tests = {
  'a visitor is asked to sign in': async (browser) => {
    for (const [screen, language, theme] of [['phone', 'sq', 'light'], ['desktop', 'en', 'dark']]) {
      const window = await open(browser, screen, { language, theme });
      await window.page.goto('/');
      await settled(window.page);
      await accessible(window.page, 'sign-in');
      await picture(window.page, `signin-${screen}-${language}-${theme}`);
      window.calm();
      await window.context.close();
    }
  },
  'a phone, Albanian, light': (browser) => look(browser, 'phone', 'sq', 'light'),
  'a phone, English, dark': (browser) => look(browser, 'phone', 'en', 'dark'),
  'a desktop, English, light': (browser) => look(browser, 'desktop', 'en', 'light'),
  'a desktop, Albanian, dark': (browser) => look(browser, 'desktop', 'sq', 'dark'),
  'nothing is wider than 320 pixels': async (browser) => {
    const window = await open(browser, 'phone');
    await signIn(window);
    await window.page.setViewportSize({ width: 320, height: 640 });
    for (const [name, address] of Object.entries(PAGES)) {
      await window.page.goto(address);
      await settled(window.page);
      const width = await window.page.evaluate(() => document.documentElement.scrollWidth);
      must(width <= 320, `${name} is ${width} pixels wide`);
    }
    window.calm();
  },
  'the first load is small and its first paint waits for nothing': async (browser) => {
    const window = await open(browser, 'phone');
    await signIn(window);
    const client = await window.context.newCDPSession(window.page);
    await client.send('Network.enable');
    let octets = 0;
    client.on('Network.loadingFinished', (event) => {
      octets += event.encodedDataLength;
    });
    // Chromium's own "slow 4G", and a processor four times slower.
    await client.send('Network.emulateNetworkConditions', { offline: false, latency: 562.5, downloadThroughput: (1.6e6 / 8) * 0.9, uploadThroughput: (750e3 / 8) * 0.9 });
    await client.send('Emulation.setCPUThrottlingRate', { rate: 4 });
    await window.page.goto('/');
    await settled(window.page);
    const paint = await window.page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1);
    const ready = await window.page.evaluate(() => performance.now());
    console.log(`first load ${(octets / 1000).toFixed(1)} kB compressed (limit 105); first contentful paint ${paint.toFixed(0)} ms, the page itself ${ready.toFixed(0)} ms, on slow 4G with a slow processor (http://${gateway.web})`);
    must(octets <= 105_000, `the first load has ${octets} octets`);
    must(paint > 0 && paint <= 3000, `the first contentful paint came after ${paint} ms`);
    window.calm();
  },
};
