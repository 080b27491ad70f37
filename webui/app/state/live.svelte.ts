// What changes, as it changes: one stream of the gateway's events, and values that are read anew when one of theirs comes.
import { Problem } from '../api/client';
import { onDestroy } from 'svelte';

/** Events of the gateway. `all`: some were missed; `open`: from here on none is, but what was read before may be older. */
export type Event = 'policy' | 'moments' | 'requests' | 'network' | 'all' | 'open';
const NAMES: readonly Event[] = ['policy', 'moments', 'requests', 'network', 'all'];
/** Seconds until the stream is opened anew. */
const PAUSE = 3;

type Listener = (event: Event) => void;
const listeners = new Set<Listener>();
let stream: EventSource | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Calls for each event, until the function that it gives is called. */
export function listen(listener: Listener): () => void {
  listeners.add(listener);
  if (!stream) start();
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) stop();
  };
}

function tell(event: Event): void {
  for (const listener of [...listeners]) listener(event);
}

function start(): void {
  clearTimeout(timer);
  const opened = new EventSource('/api/v1/events');
  let lost = false;
  stream = opened;
  for (const name of NAMES) opened.addEventListener(name, () => tell(name));
  opened.onopen = () => {
    tell(lost ? 'all' : 'open'); // whatever happened meanwhile
    lost = false;
  };
  opened.onerror = () => {
    lost = true;
    if (opened.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    timer = setTimeout(() => {
      if (stream !== opened || listeners.size === 0) return;
      start();
      tell('all');
    }, PAUSE * 1000);
  };
}

function stop(): void {
  clearTimeout(timer);
  stream?.close();
  stream = null;
}

/** A value of the gateway that stays true while its page is open. */
export class Live<T> {
  /** The value; nothing until it is there. */
  value = $state.raw<T | undefined>(undefined);
  /** Why it is not there. */
  problem = $state.raw<Problem | null>(null);
  #read: () => Promise<T>;
  #round = 0;

  /** Reads with `read` now, whenever one of `events` comes, and every so many seconds where `every` is given. */
  constructor(read: () => Promise<T>, events: readonly Event[] = [], every = 0) {
    this.#read = read;
    void this.refresh();
    const deaf = listen((event) => {
      if (event === 'all' || (event === 'open' ? events.length > 0 : events.includes(event))) void this.refresh();
    });
    const clock = every > 0 ? setInterval(() => void this.refresh(), every * 1000) : undefined;
    onDestroy(() => {
      deaf();
      clearInterval(clock);
      this.#round = -1;
    });
  }

  /** Reads anew. */
  async refresh(): Promise<void> {
    const round = ++this.#round;
    try {
      const value = await this.#read();
      if (round !== this.#round) return; // a later one is under way
      this.value = value;
      this.problem = null;
    } catch (error) {
      if (round !== this.#round) return;
      this.problem = error instanceof Problem ? error : new Problem(0, 'about:blank', String(error));
    }
  }
}
