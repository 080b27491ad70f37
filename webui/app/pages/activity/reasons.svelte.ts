// Names of reasons: categories and services in the user's language, and what else a name is blocked for.
import { get } from '../../api/client';
import { has, t, text } from '../../state/language.svelte';

let categories = $state.raw<Record<string, Record<string, string>>>({});
let services = $state.raw<Record<string, string>>({});
let asked = false;

async function read(): Promise<void> {
  const [kinds, apps] = await Promise.all([get('/categories'), get('/services')]);
  categories = Object.fromEntries(kinds.map((one) => [one.id, one.name as unknown as Record<string, string>]));
  services = Object.fromEntries(apps.map((one) => [one.id, one.name]));
}

/** What a reason is called. */
export function reasonName(reason: string): string {
  if (!asked) {
    asked = true;
    read().catch(() => {
      asked = false; // the ids stand for the names until the next row
    });
  }
  const category = categories[reason];
  if (category) return text(category);
  const key = `reason.${reason.replaceAll(' ', '-')}`;
  return services[reason] ?? (has(key) ? t(key) : reason);
}
