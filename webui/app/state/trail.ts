// What was changed, in words: the gateway's trail names acts and what they were done to as it keeps them.
import { has, t } from './language.svelte';

/** What an act was done to, such as "the profile Era"; a name stands for itself. */
function thing(object: string): string {
  const [kind = '', ...rest] = object.split(' ');
  const key = `thing.${object.replaceAll(' ', '-')}`;
  if (has(key)) return t(key);
  const named = `thing.${kind}.named`;
  return rest.length > 0 && has(named) ? t(named, { name: rest.join(' ') }) : object;
}

/** What of an act the gateway keeps. */
interface Act {
  action: string;
  object: string;
  before?: unknown;
  after?: unknown;
}

/** An act in words, such as "changed the profile Era"; one that has no words yet is told as it is kept. */
export function deed({ action, object, before, after }: Act): string {
  const policy = { add: !before && after, remove: before && !after };
  const form = action === 'policy.change' && object !== 'profiles and devices' ? (policy.add ? 'policy.add' : policy.remove ? 'policy.remove' : action) : action;
  const key = `did.${form}`;
  const what = /^(policy|pause|grant|bonus|backup|photo)/.test(action) ? thing(object) : object;
  return has(key) ? t(key, { what }) : `${action}: ${object}`;
}

/** Members of a profile in words. */
export function member(name: string): string {
  const key = `member.${name}`;
  return has(key) ? t(key) : name;
}
