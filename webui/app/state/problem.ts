// What went wrong, in the user's language.
import { Conflict, Problem } from '../api/client';
import { has, t, type Key } from './language.svelte';

/** What went wrong, with what to do. */
export function told(problem: unknown): string {
  if (problem instanceof Conflict) return t('problem.412');
  if (!(problem instanceof Problem)) return t('problem.page');
  const kind = `problem.${problem.kind.replace('urn:isigurt:', '')}`;
  const status = `problem.${problem.status}`;
  const key: Key = has(kind) ? kind : has(status) ? status : 'problem.other';
  return t(key, { seconds: problem.retryAfter ?? '' });
}
