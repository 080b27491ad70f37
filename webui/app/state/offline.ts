// The service worker keeps one page for when the gateway is out of reach, and nothing else.

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): { createScriptURL(url: string): unknown };
}

/** Installs it, where the browser allows it: over HTTPS, or on this machine itself. */
export function keepOffline(): void {
  if (!('serviceWorker' in navigator)) return;
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  const address = '/sw.js';
  const trusted = types?.createPolicy('isigurt', { createScriptURL: () => address }).createScriptURL(address) ?? address;
  navigator.serviceWorker.register(trusted as string).catch(() => undefined); // the pages work without it
}
