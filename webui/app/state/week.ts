// Hours of the week, as schedules say them: days such as "mon-fri", hours such as "21:00", also over midnight.
import type { Schedule } from '../api/types';

/** Days as schedules name them. */
export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
/** Minutes of a day. */
export const DAY = 1440;
/** What a schedule can do. */
export const MODES = ['off', 'allow-list', 'no-services'] as const;
export type Mode = (typeof MODES)[number];

/** A schedule with nothing left out. */
export interface Hours {
  /** Which days it begins on, Monday first. */
  days: boolean[];
  /** Minutes since midnight. */
  from: number;
  /** Minutes since midnight; on the next day where it is not later than `from`. */
  to: number;
  mode: Mode;
}

/** What presets stand for; the gateway fills in the same. */
const PRESETS: Record<string, { days: string; from: string; to: string; mode: Mode }> = {
  bedtime: { days: 'daily', from: '21:00', to: '07:00', mode: 'off' },
  homework: { days: 'mon-fri', from: '16:00', to: '18:00', mode: 'no-services' },
  exam: { days: 'mon-fri', from: '08:00', to: '14:00', mode: 'allow-list' },
};

/** The days of a text. */
export function daysOf(text: string): boolean[] {
  if (text.trim().toLowerCase() === 'daily') return DAYS.map(() => true);
  const days = DAYS.map(() => false);
  const place = (name: string) => DAYS.indexOf(name.trim().toLowerCase() as (typeof DAYS)[number]);
  for (const part of text.split(',')) {
    const [first = '', last = first] = part.split('-');
    const end = place(last);
    for (let at = place(first); at >= 0 && end >= 0; at = (at + 1) % 7) {
      days[at] = true;
      if (at === end) break;
    }
  }
  return days;
}

/** Days as a text. */
export function daysText(days: readonly boolean[]): string {
  if (days.every(Boolean)) return 'daily';
  const parts: string[] = [];
  for (let at = 0; at < 7; ) {
    let end = at;
    while (end < 7 && days[end]) end += 1;
    if (end - at > 2) parts.push(`${DAYS[at]}-${DAYS[end - 1]}`);
    else for (let day = at; day < end; day += 1) parts.push(DAYS[day] ?? '');
    at = Math.max(end, at + 1);
  }
  return parts.join(',');
}

/** Minutes since midnight of "21:30". */
export function minuteOf(text: string): number {
  const [hours = 0, minutes = 0] = text.split(':').map(Number);
  return (hours * 60 + minutes) % DAY;
}

/** Minutes since midnight as "21:30". */
export function hourText(minute: number): string {
  const inside = ((minute % DAY) + DAY) % DAY;
  return `${String(Math.floor(inside / 60)).padStart(2, '0')}:${String(inside % 60).padStart(2, '0')}`;
}

/** A schedule with its preset filled in. */
export function hoursOf(schedule: Schedule): Hours {
  const preset = schedule.preset ? PRESETS[schedule.preset] : undefined;
  return {
    days: daysOf(schedule.days ?? preset?.days ?? 'daily'),
    from: minuteOf(schedule.from ?? preset?.from ?? '00:00'),
    to: minuteOf(schedule.to ?? preset?.to ?? '00:00'),
    mode: schedule.mode ?? preset?.mode ?? 'off',
  };
}

/** The schedule with other hours; whatever else it says stays. */
export function withHours(schedule: Schedule, hours: Hours): Schedule {
  return { ...schedule, days: daysText(hours.days), from: hourText(hours.from), to: hourText(hours.to), mode: hours.mode };
}

/** How long it lasts, minutes. */
export function length(hours: Hours): number {
  return hours.to > hours.from ? hours.to - hours.from : hours.to - hours.from + DAY;
}

/** A piece of a schedule on one day of the week. */
export interface Piece {
  day: number;
  from: number;
  to: number;
}

/** Its pieces, day by day: what goes over midnight is two. */
export function pieces(hours: Hours): Piece[] {
  const found: Piece[] = [];
  const end = hours.from + length(hours);
  hours.days.forEach((on, day) => {
    if (!on) return;
    found.push({ day, from: hours.from, to: Math.min(end, DAY) });
    if (end > DAY) found.push({ day: (day + 1) % 7, from: 0, to: end - DAY });
  });
  return found;
}

/** Days moved by so many. */
export function moved(days: readonly boolean[], by: number): boolean[] {
  return days.map((_, day) => days[(day - by + 7) % 7] ?? false);
}
