// Short notes at the foot of the page: what was done, and how to take it back.

export interface Note {
  id: number;
  text: string;
  /** Takes it back. */
  undo?: () => Promise<void>;
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
export function note(text: string, undo?: () => Promise<void>): void {
  const id = ++last;
  all.push({ id, text, undo });
  setTimeout(() => dismiss(id), STAYS * 1000);
}

/** Takes a note away. */
export function dismiss(id: number): void {
  all = all.filter((one) => one.id !== id);
}
