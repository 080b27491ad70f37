// The service worker keeps one page for when the gateway is out of reach, and shows notifications; nothing else.

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): { createScriptURL(url: string): unknown };
}

let installed: Promise<ServiceWorkerRegistration | null> = Promise.resolve(null);

/** Installs it, where the browser allows it: over HTTPS, or on this machine itself. */
export function keepOffline(): void {
  if (!('serviceWorker' in navigator)) return;
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  const address = '/sw.js';
  const trusted = types?.createPolicy('isigurt', { createScriptURL: () => address }).createScriptURL(address) ?? address;
  installed = navigator.serviceWorker.register(trusted as string).catch(() => null); // the pages work without it
}

/** The service worker; `null` where the browser has none, or does not trust the gateway's certificate. */
export function worker(): Promise<ServiceWorkerRegistration | null> {
  return installed;
}
