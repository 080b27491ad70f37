// Names of reasons: categories and services in the user's language, and what else a name is blocked for.
import { categories, readChoices, services } from '../../state/choices.svelte';
import { has, t, text } from '../../state/language.svelte';
import { called } from '../../state/people';

let asked = false;

/** What a reason is called. */
export function reasonName(reason: string): string {
  if (!asked) {
    asked = true;
    readChoices().catch(() => {
      asked = false; // the ids stand for the names until the next row
    });
  }
  const category = categories().find((one) => one.id === reason);
  if (category) return text({ ...category.name });
  const key = `reason.${reason.replaceAll(' ', '-')}`;
  return services().find((one) => one.id === reason)?.name ?? (has(key) ? t(key) : called(reason));
}
