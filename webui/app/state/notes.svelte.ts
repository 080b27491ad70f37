// Short notes at the foot of the page: what was done, and how to take it back.
import { told } from './problem';

export interface Note {
  id: number;
  text: string;
  /** Takes it back. */
  undo?: () => Promise<unknown>;
}

/** Seconds that a note stays. */
const STAYS = 8;
let last = 0;
let all = $state<Note[]>([]);

/** Notes to be shown. */
export function notes(): readonly Note[] {
  return all;
}

/** Shows a note. */
export function note(text: string, undo?: () => Promise<unknown>): void {
  const id = ++last;
  all.push({ id, text, undo });
  setTimeout(() => dismiss(id), STAYS * 1000);
}

/** Takes a note away. */
export function dismiss(id: number): void {
  all = all.filter((one) => one.id !== id);
}

/** Takes back what a note tells of; where that does not go well a note says why, and it can be pressed again. */
export async function takeBack({ id, undo }: Note): Promise<void> {
  dismiss(id);
  try {
    await undo?.();
  } catch (error) {
    note(told(error), undo);
  }
}
