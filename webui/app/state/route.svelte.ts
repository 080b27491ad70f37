// Where the user is: the address bar, as the pages read and change it. Links are plain links; a click on one stays in the page.

let here = $state.raw(new URL(location.href));

/** The path, such as `/child`. */
export function path(): string {
  return here.pathname;
}

/** A parameter of the address, such as the name in `/child?name=Ana`. */
export function parameter(name: string): string | null {
  return here.searchParams.get(name);
}

/** An address with parameters, escaped. */
export function address(to: string, parameters: Record<string, string> = {}): string {
  const query = new URLSearchParams(parameters).toString();
  return query ? `${to}?${query}` : to;
}

/** Goes there; `instead`: the way back skips where the user is now. */
export function go(to: string, instead = false): void {
  const url = new URL(to, location.href);
  if (instead) history.replaceState(null, '', url);
  else history.pushState(null, '', url);
  arrive(url, instead);
}

function arrive(url: URL, instead = false): void {
  const elsewhere = url.pathname !== here.pathname || url.search !== here.search;
  // Whoever narrows what a page shows stays where they are: in the field that they type in.
  const stays = instead && url.pathname === here.pathname;
  here = url;
  if (!elsewhere || stays) return;
  scrollTo(0, 0);
  headFor();
}

/** Milliseconds that a page may take to have its heading, and between two looks for it. */
const LATEST = 5000;
const LOOK = 50;

/**
 * Puts the keyboard on the new page's heading, which is read out then, as soon as it is there: a page is loaded when it is opened, and may draw
 * its heading anew when it has more to show. Whoever presses something meanwhile is left alone.
 */
function headFor(): void {
  const began = performance.now();
  const over = new AbortController();
  let given = false;
  for (const what of ['keydown', 'pointerdown']) addEventListener(what, () => over.abort(), { capture: true, signal: over.signal });
  const look = () => {
    if (over.signal.aborted) return;
    const heading = document.querySelector<HTMLElement>('main h1');
    if (heading && (!given || document.activeElement === document.body)) {
      heading.focus();
      given = true;
    }
    if (performance.now() - began < LATEST) setTimeout(look, LOOK);
    else over.abort();
  };
  requestAnimationFrame(look);
}

/** Addresses that the gateway renders itself. */
const SERVED = ['/help', '/guides', '/me', '/report', '/exit', '/api', '/healthz', '/readyz'];

/** Whether an address is one of these pages. */
function isOurs(url: URL): boolean {
  return url.origin === location.origin && !SERVED.some((one) => url.pathname === one || url.pathname.startsWith(`${one}/`));
}

/** Keeps clicks on links in the page. */
export function followLinks(): void {
  addEventListener('popstate', () => arrive(new URL(location.href)));
  addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.target || link.hasAttribute('download') || !isOurs(new URL(link.href))) return;
    if (link.hash && link.pathname === here.pathname) return; // a place in this page
    event.preventDefault();
    go(link.href);
  });
}
