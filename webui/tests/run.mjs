// The browser tests: real Chromium against a real gateway, which answers real DNS queries.
//
// `tests/tests/browser.rs` starts the gateway and runs `node run.mjs SUITE [TEST]`; where it is and what its claim code is comes
// in the environment. A line `@restart`, `@stop` or `@start` on standard output is done by the caller, who answers `done`.
import { chromium } from 'playwright-core';
import { picture } from './harness.mjs';

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];
// Names that lead to loopback, as the gateway's answer for a blocked name does.
if (process.env.ISIGURT_HOST_RULES) FLAGS.push(`--host-resolver-rules=${process.env.ISIGURT_HOST_RULES}`);
const suite = process.argv[2];
const only = process.argv[3];
const { tests } = await import(`./${suite}.mjs`);
const browser = await chromium.launch({ executablePath: process.env.ISIGURT_CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  if (only && !name.includes(only)) continue;
  const started = Date.now();
  try {
    await test(browser);
    console.log(`ok    ${suite}: ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${suite}: ${name}\n${error.stack ?? error}`);
    for (const context of browser.contexts()) for (const page of context.pages()) await picture(page, `failed-${suite}-${failed}`).catch(() => undefined);
  }
  for (const context of browser.contexts()) await context.close();
}
await browser.close();
process.exit(failed === 0 ? 0 : 1);
