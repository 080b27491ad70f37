// Groups of a school: profiles, with what belongs to them.
import type { components } from '../../api/schema';

type Policy = components['schemas']['Policy'];

/** Names of schedules and calendars that exam mode makes begin so. */
export const EXAM = 'exam ';

export interface Group {
  name: string;
  devices: number;
  networks: string[];
  categories: number;
  exam: boolean;
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
