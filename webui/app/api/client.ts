// The API, as the gateway's OpenAPI document describes it (`schema.d.ts`, made by `npm run check`).
//
// What goes wrong is a `Problem`. Where the session has ended, the user signs in on top of the page and the call is made again;
// where the gateway is away, what may be asked twice is asked again when it is back. Nothing that was typed is lost.
import type { paths } from './schema';
import { untilBack, watched } from '../state/gateway.svelte';

type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';
type Paths<M extends Method> = {
  [P in keyof paths]: P extends `/api/v1${infer R}` ? (paths[P][M] extends { responses: unknown } ? R : never) : never;
}[keyof paths];
type Operation<M extends Method, P extends string> = `/api/v1${P}` extends keyof paths ? paths[`/api/v1${P}`][M] : never;
type Json<R> = R extends { content: { 'application/json': infer T } } ? T : undefined;
type Good<R> = { [S in keyof R]: S extends 200 | 201 | 202 ? Json<R[S]> : never }[keyof R];
/** What an operation answers when it succeeds. */
export type Answer<M extends Method, P extends string> = Operation<M, P> extends { responses: infer R } ? Good<R> : never;
/** What an operation is sent. */
export type Sent<M extends Method, P extends string> = Operation<M, P> extends {
  requestBody?: { content: { 'application/json': infer B } };
}
  ? B
  : never;
type Query<M extends Method, P extends string> = Operation<M, P> extends { parameters: { query?: infer Q } } ? Q : never;

/** What a call carries. */
export interface Call<M extends Method, P extends string> {
  /** In the place of `{name}` in the path. */
  at?: Record<string, string | number>;
  query?: Query<M, P>;
  body?: Sent<M, P>;
  /** The tag of what was seen: refused with 412 where it has changed since. */
  tag?: string | null;
}

/** An answer with its tag. */
export interface Tagged<T> {
  value: T;
  tag: string | null;
}

/** What went wrong, as the gateway says it (RFC 9457). */
export class Problem extends Error {
  constructor(
    /** The HTTP status; 0 where there was no answer. */
    readonly status: number,
    /** What kind of problem it is, such as `urn:isigurt:wrong`. */
    readonly kind: string,
    /** In words, in English. */
    readonly detail: string,
    /** What of that which was sent is wrong. */
    readonly field: string | null = null,
    /** After how many seconds to try again. */
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
  }
}

let csrf: string | null = null;
let renew: (() => Promise<void>) | null = null;

/** The session's CSRF token, for what no call here sends. */
export function csrfToken(): string | null {
  return csrf;
}

/** Takes the session's CSRF token. */
export function keepCsrf(token: string | null): void {
  csrf = token;
}

/** Says how a user whose session has ended signs in again. */
export function onSignedOut(how: () => Promise<void>): void {
  renew = how;
}

/** Makes a call. */
export async function call<M extends Method, P extends Paths<M> & string>(
  method: M,
  path: P,
  { at = {}, query, body, tag }: Call<M, P> = {},
): Promise<Tagged<Answer<M, P>>> {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(at[name] ?? '')));
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== '') parameters.set(name, String(value));
  }
  const address = `/api/v1${filled}${parameters.size > 0 ? `?${parameters}` : ''}`;
  for (;;) {
    const answer = await once(method, address, body, tag);
    if (answer.ok) {
      const text = await answer.text();
      const value = text === '' ? undefined : JSON.parse(text);
      return { value: value as Answer<M, P>, tag: answer.headers.get('etag') };
    }
    const problem = await asProblem(answer);
    const ended = problem.kind === 'urn:isigurt:signed-out' || problem.kind === 'urn:isigurt:csrf';
    if (!ended || !renew) throw problem;
    await renew();
  }
}

/** The answer's value alone. */
export async function get<P extends Paths<'get'> & string>(path: P, how: Call<'get', P> = {}): Promise<Answer<'get', P>> {
  // Said once for all paths: spelled out, the type would have a member for each of them.
  const ask = call as unknown as (method: 'get', path: P, how: Call<'get', P>) => Promise<Tagged<Answer<'get', P>>>;
  return (await ask('get', path, how)).value;
}

/** Asks once, and again when the gateway is back where that does no harm. */
async function once(method: Method, address: string, body: unknown, tag?: string | null): Promise<Response> {
  for (;;) {
    const headers: Record<string, string> = {};
    if (body !== undefined) headers['content-type'] = 'application/json';
    if (csrf && method !== 'get') headers['x-csrf-token'] = csrf;
    if (tag) headers['if-match'] = tag;
    const asked = fetch(address, {
      method: method.toUpperCase(),
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
    });
    try {
      return await watched(asked);
    } catch {
      const again = untilBack();
      if (method === 'post' || method === 'patch') throw new Problem(0, 'urn:isigurt:away', 'the gateway does not answer');
      await again;
    }
  }
}

async function asProblem(answer: Response): Promise<Problem> {
  const told: Record<string, unknown> = await answer.json().catch(() => ({}));
  const string = (name: string) => (typeof told[name] === 'string' ? (told[name] as string) : null);
  const number = (name: string) => (typeof told[name] === 'number' ? (told[name] as number) : null);
  const detail = string('detail') ?? answer.statusText;
  return new Problem(answer.status, string('type') ?? 'about:blank', detail, string('field'), number('retry_after'));
}

/** Somebody else changed what the user was changing. */
export class Conflict<T> extends Error {
  constructor(
    readonly mine: T,
    readonly theirs: Tagged<T>,
  ) {
    super('changed meanwhile');
  }
}

/**
 * Replaces something that was seen with this tag. Where it has changed meanwhile nothing is overwritten: a `Conflict` holds both.
 * A change that arrived although its answer did not is no conflict.
 */
export async function replace<P extends Paths<'put'> & Paths<'get'> & string>(
  path: P,
  at: Record<string, string | number>,
  body: Sent<'put', P>,
  tag: string | null,
): Promise<Tagged<Answer<'put', P>>> {
  const put = call as unknown as (method: 'put', path: P, how: unknown) => Promise<Tagged<Answer<'put', P>>>;
  const ask = call as unknown as (method: 'get', path: P, how: unknown) => Promise<Tagged<Answer<'get', P>>>;
  try {
    return await put('put', path, { at, body, tag });
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.status !== 412) throw problem;
    const theirs = await ask('get', path, { at });
    if (same(theirs.value, body)) return theirs as unknown as Tagged<Answer<'put', P>>;
    throw new Conflict(body, theirs as unknown as Tagged<Sent<'put', P>>);
  }
}

/** Whether two values say the same. */
export function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(ordered(one)) === JSON.stringify(ordered(other));
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined && inner !== null);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, ordered(inner)]));
}
