// The query log as the page holds it: parts of a thousand queries, read as the user scrolls, each grouped by site.
//
// However long the log is, only a few parts are held; of the others it is known how many rows they have and where they begin in the
// log, so that they can be read again. New queries wait above the list while the user looks at older ones.
import { get, Problem } from '../../api/client';
import type { components } from '../../api/schema';

export type Query = components['schemas']['Query'];

/** Queries of one site by one device, one behind the other. */
export interface Row {
  key: string;
  queries: Query[];
}

/** What is looked for. */
export interface Filter {
  name: string;
  profile: string;
  device: string;
  verdict: '' | 'blocked' | 'cached' | 'forwarded' | 'failed';
}

interface Part {
  /** Where it begins in the log; nothing for the newest. */
  cursor: string | null;
  /** Rows that it has. */
  count: number;
  rows: Row[] | null;
  reading: boolean;
}

/** Queries in a part. */
const PART = 1000;
/** Parts that are held. */
const HELD = 8;
/** New queries that wait. */
const WAITING = 2000;
/** Milliseconds in which new queries are gathered before they are shown. */
const GATHER = 250;

/** Whether a query joins the row of another. */
function joins(one: Query, other: Query): boolean {
  return one.site === other.site && one.device === other.device && one.client === other.client && (one.verdict === 'blocked') === (other.verdict === 'blocked') && one.reason === other.reason;
}

let made = 0;

/** Groups queries, the newest first. */
export function grouped(queries: readonly Query[]): Row[] {
  const rows: Row[] = [];
  for (const query of queries) {
    const last = rows[rows.length - 1];
    const first = last?.queries[0];
    if (last && first && joins(first, query)) last.queries.push(query);
    else rows.push({ key: query.id ?? `new-${++made}`, queries: [query] });
  }
  return rows;
}

export class Log {
  /** Rows of all parts that are known. */
  total = $state(0);
  /** Whether there may be more below them. */
  more = $state(true);
  /** How far back was looked. */
  backTo = $state<string | null>(null);
  /** New queries that wait to be shown. */
  waiting = $state(0);
  problem = $state.raw<Problem | null>(null);
  /** Counts up when rows are there that were not. */
  changed = $state(0);

  #parts: Part[] = [];
  #next: string | null = null;
  #filter: Filter;
  #stream: EventSource | null = null;
  #new: Query[] = [];
  #atTop = true;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #reading = false;

  constructor(filter: Filter) {
    this.#filter = filter;
    this.#follow();
    void this.readMore();
  }

  /** The row at this place; nothing where it is not there yet. */
  row(place: number): Row | null {
    let before = 0;
    for (const part of this.#parts) {
      if (place < before + part.count) {
        if (!part.rows) void this.#readAgain(part);
        return part.rows?.[place - before] ?? null;
      }
      before += part.count;
    }
    return null;
  }

  /** Says what the user looks at: parts far from it are let go, the next is read in time. */
  look(first: number, last: number): void {
    this.#atTop = first === 0;
    let before = 0;
    const far: [number, Part][] = [];
    for (const part of this.#parts) {
      const distance = Math.max(before - last, first - (before + part.count), 0);
      if (part.rows && distance > 0) far.push([distance, part]);
      before += part.count;
    }
    far.sort((one, other) => other[0] - one[0]);
    for (const [, part] of far.slice(0, Math.max(0, far.length + 1 - HELD))) part.rows = null;
    if (last + PART / 4 > this.total) void this.readMore();
  }

  /** Reads the next part. */
  async readMore(): Promise<void> {
    if (this.#reading || !this.more || this.#closed) return;
    this.#reading = true;
    const cursor = this.#next;
    try {
      const page = await this.#read(cursor);
      if (this.#closed) return;
      const rows = grouped(page.items);
      if (rows.length > 0 || this.#parts.length === 0) this.#parts.push({ cursor, count: rows.length, rows, reading: false });
      this.#next = page.next ?? null;
      this.more = this.#next !== null;
      this.backTo = page.back_to ?? this.backTo;
      this.total += rows.length;
      this.problem = null;
      this.changed++;
    } catch (error) {
      this.problem = error instanceof Problem ? error : new Problem(0, 'about:blank', String(error));
      this.more = false;
    } finally {
      this.#reading = false;
    }
    if (this.more && this.total < 50) void this.readMore(); // a search that finds little goes on by itself
  }

  /** Tries again after a failure. */
  again(): void {
    this.more = true;
    this.problem = null;
    void this.readMore();
  }

  /** Shows the new queries that wait. */
  showNew(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#new.length === 0) return;
    const first = this.#parts[0];
    const fresh = this.#new.reverse();
    this.#new = [];
    this.waiting = 0;
    if (first?.rows && first.cursor === null) {
      const held = first.rows.flatMap((row) => row.queries);
      const rows = grouped(fresh.concat(held).slice(0, 3 * PART));
      if (fresh.length + held.length > 3 * PART) {
        this.restart(); // what was cut off is read anew
        return;
      }
      this.total += rows.length - first.count;
      first.rows = rows;
      first.count = rows.length;
      this.changed++;
    } else this.restart();
  }

  /** Begins anew from the newest. */
  restart(): void {
    this.#parts = [];
    this.#next = null;
    this.#new = [];
    this.waiting = 0;
    this.total = 0;
    this.more = true;
    this.changed++;
    void this.readMore();
  }

  /** Shows what was gathered, unless the user has begun to look at older rows meanwhile. */
  #gathered(): void {
    this.#timer = undefined;
    if (this.#atTop) this.showNew();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#stream?.close();
  }

  async #readAgain(part: Part): Promise<void> {
    if (part.reading) return;
    part.reading = true;
    try {
      const page = await this.#read(part.cursor);
      const rows = grouped(page.items);
      // The newest part has grown meanwhile: what is behind its rows is still in the others.
      part.rows = part.cursor === null ? rows.slice(0, part.count) : rows;
      this.changed++;
    } catch (error) {
      this.problem = error instanceof Problem ? error : new Problem(0, 'about:blank', String(error));
    } finally {
      part.reading = false;
    }
  }

  #read(cursor: string | null) {
    return get('/queries', { query: { ...this.#query(), since: '1970-01-01T00:00:00Z', limit: PART, cursor: cursor ?? undefined } });
  }

  #query(): Record<string, string | undefined> {
    const { name, profile, device, verdict } = this.#filter;
    return { name: name || undefined, profile: profile || undefined, device: device || undefined, verdict: verdict || undefined };
  }

  /** Follows the log as it grows. */
  #follow(): void {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(this.#query())) if (value) parameters.set(name, value);
    const stream = new EventSource(`/api/v1/queries/stream?${parameters}`);
    this.#stream = stream;
    stream.addEventListener('query', (event) => {
      this.#new.push(JSON.parse(event.data) as Query);
      if (this.#new.length > WAITING) this.#new.shift();
      this.waiting = this.#new.length;
      if (this.#atTop) this.#timer ??= setTimeout(() => this.#gathered(), GATHER);
    });
    stream.onerror = () => {
      if (stream.readyState !== EventSource.CLOSED || this.#closed) return;
      setTimeout(() => !this.#closed && this.#follow(), 3000);
    };
  }
}
