// What alerts can be about, in words.
import { reasonName } from '../pages/activity/reasons.svelte';
import { t } from './language.svelte';

/** What can be chosen; other categories can be named through the API. */
export const ABOUT: readonly string[] = ['category:self-harm', 'category:extremism', 'category:stranger-chat', 'category:hate', 'danger', 'gateway'];

/** What an alert is about. */
export function aboutName(one: string): string {
  return one.startsWith('category:') ? reasonName(one.slice(9)) : t(one === 'danger' ? 'alerts.danger' : 'alerts.gateway');
}
