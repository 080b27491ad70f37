// Profiles as people: who is a child, and how it stands with somebody in words.
import type { Answer } from '../api/client';
import type { Profile } from '../api/types';
import { has, hour, t, when, type Key } from './language.svelte';

export type Standing = Answer<'get', '/present'>['profiles'][number];
export type Pause = Answer<'get', '/moments'>['pauses'][number];

/** Whether a profile is a child's, or a group's of a school: neither adults nor everybody else's. */
export function isChild(profile: Profile): boolean {
  return profile.age !== 'adult' && profile.age !== 'guest';
}

/** Names of schedules that the gateway makes itself have a message; the others are the household's own words. */
export function called(because: string): string {
  const key = `schedule.${because}`;
  return has(key) ? t(key) : because;
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
