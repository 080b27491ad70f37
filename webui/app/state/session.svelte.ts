// Who is signed in. When the session ends while a page is open, the user signs in on top of it and goes on.
import { call, get, keepCsrf, onSignedOut, Problem } from '../api/client';
import type { SessionState, User } from '../api/types';

type Standing = 'opening' | 'unclaimed' | 'out' | 'in' | 'ended';

let standing = $state<Standing>('opening');
let who = $state.raw<User | null>(null);
let signedInAgain: (() => void) | null = null;
let again: Promise<void> | null = null;

/** How it stands: `ended` is signed in, but for a session that the gateway has ended. */
export function session(): Standing {
  return standing;
}

/** Who is signed in. */
export function user(): User | null {
  return who;
}

/** Whether the user may change the whole policy. */
export function mayChange(): boolean {
  return who?.role === 'owner' || who?.role === 'admin';
}

/** Whether the user sees the whole gateway, and not only the profiles that the account names. */
export function seesAll(): boolean {
  return who !== null && who.role !== 'staff';
}

/** Whether the user may change this profile, pause it and give it time. */
export function mayChangeProfile(profile: string): boolean {
  return mayChange() || (who?.role === 'staff' && who.profiles.includes(profile));
}

/** Asks the gateway who is signed in. */
export async function open(): Promise<void> {
  onSignedOut(renew);
  take(await get('/session'));
}

/** Takes what the gateway says after signing in or claiming. */
export function take(state: SessionState): void {
  keepCsrf(state.csrf ?? null);
  if (state.user) {
    const other = who !== null && who.id !== state.user.id;
    who = state.user;
    standing = 'in';
    if (other && signedInAgain) location.assign('/'); // another's page is not for this user
    signedInAgain?.();
    signedInAgain = null;
    again = null;
  } else if (standing !== 'ended') {
    who = null;
    standing = state.claimed ? 'out' : 'unclaimed';
  }
}

/** Has the user sign in on top of the page. */
function renew(): Promise<void> {
  if (standing !== 'in' && standing !== 'ended') return Promise.reject(new Problem(401, 'urn:isigurt:signed-out', 'nobody has signed in'));
  standing = 'ended';
  again ??= new Promise((done) => {
    signedInAgain = done;
  });
  return again;
}

/** Signs out, ends notifications on this device, and forgets what is on the screen. */
export async function signOut(): Promise<void> {
  await import('./push').then((push) => push.turnOff()).catch(() => undefined); // signing out matters more
  await call('delete', '/session');
  location.assign('/');
}
