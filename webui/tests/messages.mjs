// The message files: every language has the same keys with the same placeholders, every key that the pages name is there, every
// key is used, and no page has text of its own. Plain Node; run by `tests/tests/browser.rs`.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'svelte/compiler';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
/** Words that are the same in every language. */
const NAMES = /\b(iSigurt|example\.org)\b/g;
/** Attributes that a person reads or hears. */
const SPOKEN = ['aria-label', 'alt', 'placeholder', 'title', 'label'];
/** Keys whose last part is made of what the gateway says. */
const MADE = [
  'member.', 'now.', 'problem.', 'role.', 'schedule.', 'theme.', 'youtube.', 'start.', 'requests.', 'child.tab.', 'names.',
  'activity.done.', 'visibility.', 'alerts.', 'doctor.', 'reason.', 'verdict.',
  'push.', 'day.', 'did.', 'thing.', 'language', 'kind.', 'report.state.', 'users.', 'preview.stage.', 'preview.log.', 'scope.',
];

const wrong = [];
const languages = readdirSync(join(ROOT, 'messages')).map((file) => [file, JSON.parse(readFileSync(join(ROOT, 'messages', file), 'utf8'))]);
const [[first, reference]] = languages;
const holes = (text) => [...text.matchAll(/\{(\w+)\}/g)].map((hole) => hole[1]).sort().join(' ');
for (const [file, messages] of languages) {
  for (const key of Object.keys(reference)) if (!(key in messages)) wrong.push(`${file}: ${key} of ${first} is missing`);
  for (const [key, text] of Object.entries(messages)) {
    if (!(key in reference)) wrong.push(`${first}: ${key} of ${file} is missing`);
    else if (holes(text) !== holes(reference[key])) wrong.push(`${file}: ${key} has other placeholders than in ${first}`);
    if (text === '') wrong.push(`${file}: ${key} is empty`);
  }
}

function* files(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else if (/\.(svelte|ts)$/.test(entry.name) && entry.name !== 'schema.d.ts') yield path;
  }
}

const says = (text) => /\p{L}/u.test(text.replace(NAMES, ''));
function look(node, path, inside) {
  if (!node || typeof node !== 'object') return;
  if (Array.isArray(node)) return node.forEach((one) => look(one, path, inside));
  if (node.type === 'Text' && !inside.attribute && says(node.data)) wrong.push(`${path}: text of its own: ${node.data.trim()}`);
  if (node.type === 'Attribute') {
    const spoken = SPOKEN.includes(node.name) && Array.isArray(node.value);
    const text = spoken ? node.value.filter((one) => one.type === 'Text').map((one) => one.data).join('') : '';
    if (says(text)) wrong.push(`${path}: ${node.name} has text of its own: ${text}`);
    return;
  }
  for (const [key, value] of Object.entries(node)) if (!['parent', 'instance', 'module', 'css'].includes(key)) look(value, path, inside);
}

let all = '';
for (const path of files(join(ROOT, 'app'))) {
  const text = readFileSync(path, 'utf8');
  const name = path.slice(ROOT.length + 1);
  all += text;
  if (path.endsWith('.svelte')) look(parse(text, { modern: true }).fragment, name, {});
  for (const [, key] of text.matchAll(/\bt\('([^']+)'/g)) if (!(key in reference)) wrong.push(`${name}: there is no message ${key}`);
  for (const [, key] of text.matchAll(/\bcount\('([^']+)'/g)) if (!(`${key}.other` in reference)) wrong.push(`${name}: there is no message ${key}.other`);
}
for (const key of Object.keys(reference)) {
  const plain = key.replace(/\.(zero|one|two|few|many|other)$/, '');
  const named = [key, plain].some((one) => all.includes(`'${one}'`));
  if (!named && !MADE.some((start) => key.startsWith(start))) wrong.push(`nothing uses ${key}`);
}

for (const line of wrong) console.log(line);
console.log(`${languages.length} languages, ${Object.keys(reference).length} messages, ${wrong.length} wrong`);
process.exit(wrong.length === 0 ? 0 : 1);
