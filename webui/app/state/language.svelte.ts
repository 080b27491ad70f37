// The language of the pages: message files of `messages/`, one a language, found by themselves. A language is added by adding
// its file; nothing here names one but the fallback.
import type en from '../../messages/en.json';

/** A key of the message files. */
export type Key = keyof typeof en;
/** What is put in the place of `{name}`. */
export type Values = Record<string, string | number>;
type Table = Record<string, string>;

const files = import.meta.glob<Table>('../../messages/*.json', { import: 'default' });
/** What each language calls itself; put here when the pages are built, so that no file is loaded for its name alone. */
declare const LANGUAGE_NAMES: Readonly<Record<string, string>>;
const FALLBACK = 'sq';
const REMEMBERED = 'language';

/** Codes of all languages. */
export const languages: readonly string[] = Object.keys(files)
  .map((path) => path.replace(/^.*\/|\.json$/g, ''))
  .sort();

let code = $state(FALLBACK);
let table = $state.raw<Table>({});

/** The code of the language in use. */
export function language(): string {
  return code;
}

/** What a language calls itself. */
export function nameOf(other: string): string {
  return LANGUAGE_NAMES[other] ?? other;
}

/** The language that was chosen here before, else the browser's first that there is. */
export function preferred(): string {
  const remembered = localStorage.getItem(REMEMBERED);
  const wanted = [remembered ?? '', ...navigator.languages].map((tag) => tag.split('-')[0] ?? '');
  return wanted.find((tag) => languages.includes(tag)) ?? FALLBACK;
}

/** Shows the pages in this language; `chosen`: by the user, and so kept. */
export async function speak(wanted: string, chosen = false): Promise<void> {
  const load = files[`../../messages/${wanted}.json`];
  if (!load) return;
  table = await load();
  code = wanted;
  document.documentElement.lang = wanted;
  if (chosen) localStorage.setItem(REMEMBERED, wanted);
}

/** The message of this key. */
export function t(key: Key, values: Values = {}): string {
  const text = table[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** Whether there is such a message: for keys that are made of what the gateway says. */
export function has(key: string): key is Key {
  return key in table;
}

/** The message for so many: `KEY.one`, `KEY.other`, or what else the language tells apart. */
export function count(key: string, n: number, values: Values = {}): string {
  // Where a language is unknown to the browser its plurals are taken to be as in English.
  const form = `${key}.${new Intl.PluralRules(code).select(n)}`;
  const found = has(form) ? form : (`${key}.other` as Key);
  return t(found, { n: number(n), ...values });
}

/** A text that the gateway keeps in several languages. */
export function text(texts: Readonly<Record<string, string>>): string {
  return texts[code] ?? texts.en ?? Object.values(texts)[0] ?? '';
}

// Browsers know few languages: Chromium has no Albanian days and dates. So they stand in the message files too.

/** A number with its thousands told apart. */
export function number(n: number): string {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, t('number.thousands'));
}

const two = (n: number) => String(n).padStart(2, '0');

/** The hour, such as 07:00. */
export function hour(at: string | number | Date): string {
  const date = new Date(at);
  return `${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** A day of the week, Monday first. */
export function day(place: number, form: 'short' | 'long'): string {
  return t(`day.${form}`).split(' ')[place] ?? '';
}

/** The date, such as 26.11.2026. */
export function date(at: string | number | Date): string {
  const when = new Date(at);
  return t('time.date', { day: two(when.getDate()), month: two(when.getMonth() + 1), year: when.getFullYear() });
}

/** A date without its year, such as 26.11. */
export function shortDate(at: string | number | Date): string {
  const when = new Date(at);
  return t('time.short-date', { day: two(when.getDate()), month: two(when.getMonth() + 1) });
}

/** A day and hour; the hour alone where it is today. */
export function when(at: string | number | Date): string {
  const then = new Date(at);
  if (then.toDateString() === new Date().toDateString()) return hour(then);
  return `${day((then.getDay() + 6) % 7, 'short')}, ${date(then)}, ${hour(then)}`;
}

/** How long ago, in words. */
export function ago(at: string | number | Date): string {
  const seconds = Math.max(0, (Date.now() - new Date(at).getTime()) / 1000);
  if (seconds < 90) return t('time.now');
  if (seconds < 5400) return count('time.ago.minutes', Math.round(seconds / 60));
  if (seconds < 129_600) return count('time.ago.hours', Math.round(seconds / 3600));
  return count('time.ago.days', Math.round(seconds / 86_400));
}

/** So many minutes, in words: 1 h 30 min. */
export function minutes(total: number): string {
  const [hours, rest] = [Math.floor(total / 60), total % 60];
  if (hours === 0) return t('time.minutes', { n: rest });
  if (rest === 0) return t('time.hours', { n: hours });
  return `${t('time.hours', { n: hours })} ${t('time.minutes', { n: rest })}`;
}
