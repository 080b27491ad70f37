// Groups of a school: profiles, with what belongs to them.
import { get, type Answer } from '../../api/client';
import type { components } from '../../api/schema';
import { seesAll } from '../../state/session.svelte';

type Policy = Pick<components['schemas']['Policy'], 'profile' | 'device'>;
type Profiles = Answer<'get', '/profiles'>['items'];
type Devices = Answer<'get', '/devices'>['items'];

/** Names of schedules and calendars that exam mode makes begin so. */
export const EXAM = 'exam ';

export interface Group {
  name: string;
  devices: number;
  networks: string[];
  categories: number;
  exam: boolean;
}

/** Profiles and devices: all of them, or those that staff look after. */
export async function reached(): Promise<Policy> {
  if (seesAll()) return get('/policy');
  const [profile, device]: [Profiles, Devices] = [[], []];
  for (let offset: number | null = 0; offset !== null; ) {
    const part: Answer<'get', '/profiles'> = await get('/profiles', { query: { limit: 1000, offset } });
    profile.push(...part.items);
    offset = part.next ?? null;
  }
  for (let offset: number | null = 0; offset !== null; ) {
    const part: Answer<'get', '/devices'> = await get('/devices', { query: { limit: 1000, offset } });
    device.push(...part.items);
    offset = part.next ?? null;
  }
  return { profile, device };
}

/** The groups of a policy, in its order. */
export function groups(policy: Policy): Group[] {
  const devices = policy.device ?? [];
  return (policy.profile ?? []).map((profile) => {
    const own = devices.filter((one) => one.profile === profile.name);
    const marks = own.flatMap((one) => one.match);
    return {
      name: profile.name,
      devices: own.length,
      networks: marks.filter((mark) => mark.startsWith('cidr:')).map((mark) => mark.slice(5)),
      categories: profile.categories?.length ?? 0,
      exam: (profile.schedule ?? []).some((one) => one.name?.startsWith(EXAM)),
    };
  });
}
