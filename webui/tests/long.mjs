// A log of many rows (a million where that is asked for), from its newest row to its oldest and back: smooth, and the page holds only what is near. The caller has claimed
// the gateway as Ana and asked for `n0`, `n1` … below two sites in turns, so that each query is a row of its own.
import { gateway, must, open, signIn } from './harness.mjs';

const ROWS = Number(process.env.ISIGURT_ROWS ?? 0);
const SITES = ['bet365.com', 'pokerstars.com'];
/** Octets of the page's own memory, at most. */
const MEMORY = 64 << 20;

/**
 * Scrolls by so many screens a frame until the end is reached, as a hand at the scroll bar does; how many frames a second that were, and how
 * long 95 of 100 took at most.
 */
function scroll(list, by, until) {
  return list.evaluate(
    async (box, { by, until }) => {
      const frames = [];
      const began = performance.now();
      let last = began;
      let held = 0;
      let still = 0;
      let rows = '';
      while (performance.now() - began < until) {
        await new Promise((done) => requestAnimationFrame(done));
        const before = box.scrollTop;
        box.scrollTop += by * box.clientHeight;
        const now = performance.now();
        frames.push(now - last);
        last = now;
        held = Math.max(held, box.querySelectorAll('[role=listitem]').length);
        const { ariaSetSize } = box.querySelector('[role=listitem]');
        still = box.scrollTop === before && ariaSetSize === rows ? still + 1 : 0;
        rows = ariaSetSize;
        if (still > 180) break; // three seconds without anything new
      }
      const all = frames.slice(0, Math.max(1, frames.length - still)).sort((one, other) => one - other);
      const total = all.reduce((sum, one) => sum + one, 0);
      return { fps: (1000 * all.length) / total, slow: all[Math.floor(all.length * 0.95)], seconds: total / 1000, held };
    },
    { by, until },
  );
}

export const tests = {
  'it is scrolled from end to end': async (browser) => {
    const window = await open(browser, 'desktop', { language: 'en' });
    await signIn(window);
    const { page } = window;
    const client = await window.context.newCDPSession(page);
    const memory = async () => {
      await client.send('HeapProfiler.collectGarbage');
      return (await client.send('Runtime.getHeapUsage')).usedSize;
    };
    await page.goto('/activity?profile=household&verdict=blocked');
    const list = page.getByRole('region', { name: 'Activity' });
    await list.getByRole('listitem').first().waitFor();
    const before = await memory();
    const told = (way, measured, octets) => console.log(`log of ${ROWS.toLocaleString('en')} rows, ${way}: ${measured.fps.toFixed(0)} frames a second for ${measured.seconds.toFixed(0)} s, 95 of 100 within ${measured.slow.toFixed(0)} ms; at most ${measured.held} rows in the page; ${(octets / 1e6).toFixed(1)} MB of memory (${(before / 1e6).toFixed(1)} MB at first) (http://${gateway.web})`);

    const down = await scroll(list, 40, 400_000);
    const after = await memory();
    told('down', down, after);
    const sizes = () => list.getByRole('listitem').evaluateAll((rows) => rows.map((row) => [Number(row.ariaPosInSet), Number(row.ariaSetSize), row.textContent.replace(/\s+/g, ' ').trim()]));
    const bottom = await sizes();
    const [[, total]] = bottom;
    // So many at once that some are not logged, which the gateway counts; where an odd number is missing two rows are one.
    const status = await (await page.request.get('/api/v1/status')).json();
    const logged = status.counts.blocked - status.log_lost;
    console.log(`${total.toLocaleString('en')} rows of ${logged.toLocaleString('en')} queries that were logged, ${status.log_lost.toLocaleString('en')} were not`);
    must(logged >= ROWS * 0.95 && Math.abs(total - logged) <= ROWS / 500, `${total} rows of ${logged} queries`);
    must(bottom.at(-1)[0] === total, `the end is not reached: ${bottom.at(-1)}`);
    // Each row is where it belongs: places follow each other, and the sites take turns but where one part of the log ends and the next begins.
    const belongs = (rows) => {
      const sites = rows.map(([, , text]) => SITES.findIndex((site) => text.includes(site)));
      const twice = sites.filter((site, place) => site === sites[place - 1]).length;
      return sites.every((site) => site >= 0) && twice <= 1 && rows.every(([at], place) => at === rows[0][0] + place);
    };
    must(belongs(bottom), `the last rows are wrong: ${bottom.map(([at, , text]) => `${at} ${text}`).join(' | ')}`);
    await list.getByRole('listitem').last().getByRole('button').click();
    await page.getByText('Sites that were asked for').click();
    await page.getByText('n0.bet365.com', { exact: true }).waitFor();
    await page.keyboard.press('Escape');

    const up = await scroll(list, -40, 400_000);
    await list.getByRole('listitem').first().getByText(/com/).waitFor();
    const top = await sizes();
    told('up', up, await memory());
    must(top[0][0] === 1 && belongs(top), `the first rows are wrong: ${top.map(([at, , text]) => `${at} ${text}`).join(' | ')}`);
    // Frames a second are told, not judged: they say as much about what else the machine does.
    for (const { held } of [down, up]) must(held < 80, `${held} rows are in the page`);
    must(after - before < MEMORY, `the page holds ${after} octets`);
    window.calm();
  },
};
