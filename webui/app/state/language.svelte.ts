// The language of the pages: message files of `messages/`, one a language, found by themselves. A language is added by adding
// its file; nothing here names one but the fallback.
import type en from '../../messages/en.json';

/** A key of the message files. */
export type Key = keyof typeof en;
/** What is put in the place of `{name}`. */
export type Values = Record<string, string | number>;
type Table = Record<string, string>;

const files = import.meta.glob<Table>('../../messages/*.json', { import: 'default' });
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
  const name = new Intl.DisplayNames([other], { type: 'language' }).of(other) ?? other;
  return name.charAt(0).toLocaleUpperCase(other) + name.slice(1);
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
  const form = `${key}.${new Intl.PluralRules(code).select(n)}`;
  const found = has(form) ? form : (`${key}.other` as Key);
  return t(found, { n: n.toLocaleString(code), ...values });
}

/** A text that the gateway keeps in several languages. */
export function text(texts: Readonly<Record<string, string>>): string {
  return texts[code] ?? texts.en ?? Object.values(texts)[0] ?? '';
}

/** The hour, such as 07:00. */
export function hour(at: string | number | Date): string {
  return new Date(at).toLocaleTimeString(code, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
}

/** A day and hour; the hour alone where it is today. */
export function when(at: string | number | Date): string {
  const date = new Date(at);
  if (date.toDateString() === new Date().toDateString()) return hour(date);
  const day = date.toLocaleDateString(code, { weekday: 'short', day: 'numeric', month: 'short' });
  return `${day}, ${hour(date)}`;
}

/** How long ago, in words. */
export function ago(at: string | number | Date): string {
  const seconds = (Date.now() - new Date(at).getTime()) / 1000;
  const form = new Intl.RelativeTimeFormat(code, { numeric: 'auto' });
  if (seconds < 90) return t('time.now');
  if (seconds < 5400) return form.format(-Math.round(seconds / 60), 'minute');
  if (seconds < 129_600) return form.format(-Math.round(seconds / 3600), 'hour');
  return form.format(-Math.round(seconds / 86_400), 'day');
}

/** So many minutes, in words: 1 h 30 min. */
export function minutes(total: number): string {
  const [hours, rest] = [Math.floor(total / 60), total % 60];
  if (hours === 0) return t('time.minutes', { n: rest });
  if (rest === 0) return t('time.hours', { n: hours });
  return `${t('time.hours', { n: hours })} ${t('time.minutes', { n: rest })}`;
}
