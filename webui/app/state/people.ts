// Profiles as people: who is a child, and how it stands with somebody in words.
import type { Answer } from '../api/client';
import type { Profile } from '../api/types';
import { budgetName } from './choices.svelte';
import { has, hour, t, when, type Key } from './language.svelte';

export type Standing = Answer<'get', '/present'>['profiles'][number];
export type Pause = Answer<'get', '/moments'>['pauses'][number];

/** Where the photo of somebody is, if there is one: another address for another photo. */
export function photoOf(now: Standing | undefined): string | null {
  return now?.photo ? `/api/v1/profiles/${encodeURIComponent(now.name)}/photo?${now.photo}` : null;
}

/** Whether a profile is a child's, or a group's of a school: neither adults nor everybody else's. */
export function isChild(profile: Profile): boolean {
  return profile.age !== 'adult' && profile.age !== 'guest';
}

/** What a profile is called: the one that the gateway begins with has a name in each language, all others the household's own. */
export function profileName(name: string): string {
  return name === 'household' ? t('profile.household') : name;
}

/** What the gateway puts in front of the name of hours, and of a budget whose minutes are used up. */
const [HOURS, USED_UP] = ['schedule: ', 'time used up: '] as const;

/** What hours, or minutes that are used up, are called: what the gateway names itself has a message, the rest is the household's own words. */
export function called(because: string): string {
  if (because.startsWith(USED_UP)) {
    const what = because.slice(USED_UP.length);
    const parts = what.split(' ');
    const made = parts.every((part) => /^(service|category):/.test(part));
    return t('reason.time-used-up', { what: made ? budgetName({ what: parts, minutes: 0 }) : what });
  }
  const name = because.startsWith(HOURS) ? because.slice(HOURS.length) : because;
  const key = `schedule.${name.replaceAll(' ', '-')}`;
  return has(key) ? t(key) : name;
}

/** How it stands, such as "Bedtime until 07:00". */
export function standing(now: Standing | undefined): { text: string; kind: 'good' | 'warm' | 'bad' } {
  if (!now) return { text: t('state.loading'), kind: 'good' };
  if (now.now === 'open') return { text: t('now.open'), kind: 'good' };
  const why = now.because === 'paused' ? t('now.paused') : now.because ? called(now.because) : t(`now.${now.now}` as Key);
  if (!now.until) return { text: why, kind: 'warm' };
  const today = new Date(now.until).getTime() - Date.now() < 18 * 3_600_000;
  return { text: t('now.until', { why, until: today ? hour(now.until) : when(now.until) }), kind: 'warm' };
}
