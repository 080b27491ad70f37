// Notifications on this device: whether the browser can show them, and turning them on and off. What is sent is the gateway's
// (`/push`); what is shown is the service worker's (`public/sw.js`).
import { call, get, Problem, type Answer, type Sent } from '../api/client';
import { worker } from './offline';

export type Subscriptions = Answer<'get', '/push'>;
export type Choice = Sent<'put', '/push/subscriptions/{id}'>;
/** Why a device shows none, or that it can. */
export type Ability = 'can' | 'unsupported' | 'insecure' | 'untrusted' | 'install' | 'denied';

/** Whether this browser can show notifications, and if not, why. */
export async function ability(): Promise<Ability> {
  if (!window.isSecureContext) return 'insecure';
  if (!('serviceWorker' in navigator) || !('PushManager' in window) || !('Notification' in window)) {
    // iPhones and iPads know them only in what was put on the home screen.
    const apple = /iPhone|iPad/.test(navigator.userAgent) || (/Mac/.test(navigator.userAgent) && navigator.maxTouchPoints > 1);
    return apple && !matchMedia('(display-mode: standalone)').matches ? 'install' : 'unsupported';
  }
  if (Notification.permission === 'denied') return 'denied';
  return (await worker()) ? 'can' : 'untrusted';
}

/** By what the gateway names this browser's subscription; nothing where there is none. */
export async function mark(): Promise<string | null> {
  const own = await subscription();
  if (!own) return null;
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(own.endpoint));
  return [...new Uint8Array(hash)].map((octet) => octet.toString(16).padStart(2, '0')).join('').slice(0, 32);
}

/** Asks the user, subscribes, and tells the gateway. */
export async function turnOn(key: string, choice: Choice): Promise<void> {
  if ((await Notification.requestPermission()) !== 'granted') throw refused('push-denied');
  const own = await subscribed(key);
  const { endpoint, keys } = own.toJSON();
  const { p256dh, auth } = keys ?? {};
  if (!endpoint || !p256dh || !auth) throw refused('push-service');
  await call('post', '/push/subscriptions', { body: { browser: { endpoint, keys: { p256dh, auth } }, choice } });
}

/** Ends this browser's subscription, at the gateway too where it is known there. */
export async function turnOff(): Promise<void> {
  const own = await mark();
  if (!own) return;
  const known = (await get('/push')).subscriptions.find((one) => one.mark === own);
  if (known) await call('delete', '/push/subscriptions/{id}', { at: { id: known.id } });
  await (await subscription())?.unsubscribe();
}

async function subscription(): Promise<PushSubscription | null> {
  if (!('PushManager' in window)) return null;
  return (await (await worker())?.pushManager.getSubscription()) ?? null;
}

/** This browser's subscription for the gateway's key; one for another key is of no use any more. */
async function subscribed(key: string): Promise<PushSubscription> {
  const octets = Uint8Array.from(atob(key.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
  const manager = (await navigator.serviceWorker.ready).pushManager;
  const before = await manager.getSubscription();
  const theirs = before?.options.applicationServerKey;
  if (before && theirs && String(new Uint8Array(theirs)) === String(octets)) return before;
  await before?.unsubscribe();
  try {
    return await manager.subscribe({ userVisibleOnly: true, applicationServerKey: octets });
  } catch (error) {
    throw refused(error instanceof DOMException && error.name === 'NotAllowedError' ? 'push-denied' : 'push-service', error);
  }
}

function refused(kind: string, error?: unknown): Problem {
  return new Problem(0, `urn:isigurt:${kind}`, error instanceof Error ? error.message : kind);
}
