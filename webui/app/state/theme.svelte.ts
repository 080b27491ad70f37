// Light or dark: what the system says, unless the user chose otherwise here.

/** What can be chosen. */
export const THEMES = ['auto', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const REMEMBERED = 'theme';
let chosen = $state<Theme>('auto');

/** What was chosen. */
export function theme(): Theme {
  return chosen;
}

/** Shows the pages so, now and when they are opened again. */
export function paint(wanted: Theme): void {
  chosen = wanted;
  localStorage.setItem(REMEMBERED, wanted);
  if (wanted === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = wanted;
}

/** Shows the pages as they were shown here last. */
export function repaint(): void {
  const remembered = THEMES.find((one) => one === localStorage.getItem(REMEMBERED));
  if (remembered && remembered !== 'auto') paint(remembered);
}
