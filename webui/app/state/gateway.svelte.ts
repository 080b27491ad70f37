// Whether the gateway answers. It may restart, be slow, or be out of reach: the pages say so, and go on when it is back.

/** Seconds between two looks whether it is back, longer each time. */
const PATIENCE = [0.5, 1, 2, 4, 8];
/** After so many seconds without an answer the pages say that they wait. */
const SLOW = 3;

let away = $state(false);
let waiting = $state(0);
let back: Promise<void> | null = null;

/** Whether it cannot be reached. */
export function isAway(): boolean {
  return away;
}

/** Whether an answer takes long. */
export function isSlow(): boolean {
  return waiting > 0;
}

/** Watches how long an answer takes. */
export async function watched<T>(answer: Promise<T>): Promise<T> {
  let counted = false;
  const timer = setTimeout(() => {
    counted = true;
    waiting += 1;
  }, SLOW * 1000);
  try {
    return await answer;
  } finally {
    clearTimeout(timer);
    if (counted) waiting -= 1;
  }
}

/** Says that it cannot be reached, and waits until it can. */
export function untilBack(): Promise<void> {
  away = true;
  back ??= look().finally(() => {
    away = false;
    back = null;
  });
  return back;
}

async function look(): Promise<void> {
  for (let times = 0; ; times += 1) {
    const seconds = PATIENCE[Math.min(times, PATIENCE.length - 1)] ?? 8;
    await new Promise((done) => setTimeout(done, seconds * 1000));
    const there = await fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(4000) }).then(
      (answer) => answer.ok,
      () => false,
    );
    if (there) return;
  }
}
