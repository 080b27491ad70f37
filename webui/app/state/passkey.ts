// Passkeys (WebAuthn): the gateway begins, the browser asks its user, the gateway takes what the browser answers. Between the two
// octets are written as base64url. What the browser refuses is a `Problem` too, so that pages say it in the user's words. What is
// inside the two ceremonies is WebAuthn's, and not described by the API: its types are the browser's.
import { call, get, Problem, type Answer } from '../api/client';
import type { SessionState } from '../api/types';

/** Ways in beside name and password, and whether there is an owner. */
export type Ways = Answer<'get', '/setup'>;
export type Passkey = Answer<'get', '/passkeys'>[number];

/** Why a browser makes or shows none (WebAuthn Level 3, sections 5.1.3 and 5.1.4). */
const REFUSALS: Record<string, string> = {
  NotAllowedError: 'passkey-cancelled',
  AbortError: 'passkey-cancelled',
  InvalidStateError: 'passkey-twice',
  ConstraintError: 'passkey-device',
  NotSupportedError: 'passkey-device',
  SecurityError: 'no-passkeys-here',
};
/** What devices call themselves, in the order in which they are told apart. */
const DEVICES: [RegExp, string][] = [[/iPhone/, 'iPhone'], [/iPad/, 'iPad'], [/Android/, 'Android'], [/CrOS/, 'Chromebook'], [/Windows/, 'Windows'], [/Mac OS X/, 'Mac'], [/Linux/, 'Linux']];

/** Which ways in there are where the page was opened. */
export function ways(): Promise<Ways> {
  return get('/setup');
}

/** Whether the browser can use passkeys; it hides them from pages that came neither encrypted nor from its own machine. */
export function browserCan(): boolean {
  return 'PublicKeyCredential' in window && 'credentials' in navigator;
}

/** What a passkey made on this device may be called. */
export function deviceName(): string {
  return deviceOf(navigator.userAgent);
}

/** The kind of device whose browser calls itself so. */
export function deviceOf(agent: string): string {
  return DEVICES.find(([mark]) => mark.test(agent))?.[1] ?? '';
}

/** Signs in; without a name the device says who it is. */
export async function signInWithPasskey(name: string): Promise<SessionState> {
  const { ceremony, options } = (await call('post', '/session/passkey/begin', { body: name ? { name } : {} })).value;
  const asked = (options as unknown as { publicKey: PublicKeyCredentialRequestOptionsJSON }).publicKey;
  const publicKey: PublicKeyCredentialRequestOptions = {
    challenge: octets(asked.challenge),
    timeout: asked.timeout,
    rpId: asked.rpId,
    allowCredentials: (asked.allowCredentials ?? []).map(described),
    userVerification: asked.userVerification as UserVerificationRequirement | undefined,
  };
  const shown = await byBrowser(() => navigator.credentials.get({ publicKey }));
  const response = shown.response as AuthenticatorAssertionResponse;
  const credential = {
    ...named(shown),
    response: {
      clientDataJSON: letters(response.clientDataJSON),
      authenticatorData: letters(response.authenticatorData),
      signature: letters(response.signature),
      userHandle: response.userHandle ? letters(response.userHandle) : null,
    },
  };
  return (await call('post', '/session/passkey', { body: { ceremony, credential: credential as never } })).value;
}

/** Makes a passkey of the user who has signed in. */
export async function makePasskey(name: string): Promise<Passkey> {
  const { ceremony, options } = (await call('post', '/passkeys/begin')).value;
  const asked = (options as unknown as { publicKey: PublicKeyCredentialCreationOptionsJSON }).publicKey;
  const publicKey: PublicKeyCredentialCreationOptions = {
    rp: asked.rp,
    user: { ...asked.user, id: octets(asked.user.id) },
    challenge: octets(asked.challenge),
    pubKeyCredParams: asked.pubKeyCredParams as PublicKeyCredentialParameters[],
    timeout: asked.timeout,
    excludeCredentials: (asked.excludeCredentials ?? []).map(described),
    authenticatorSelection: asked.authenticatorSelection as AuthenticatorSelectionCriteria | undefined,
    attestation: asked.attestation as AttestationConveyancePreference | undefined,
  };
  const made = await byBrowser(() => navigator.credentials.create({ publicKey }));
  const response = made.response as AuthenticatorAttestationResponse;
  const credential = {
    ...named(made),
    response: {
      clientDataJSON: letters(response.clientDataJSON),
      attestationObject: letters(response.attestationObject),
      transports: response.getTransports?.() ?? [],
    },
  };
  return (await call('post', '/passkeys', { body: { ceremony, name, credential: credential as never } })).value;
}

async function byBrowser(ask: () => Promise<Credential | null>): Promise<PublicKeyCredential> {
  try {
    const answer = await ask();
    if (answer) return answer as PublicKeyCredential;
    throw new DOMException('the browser gave no passkey', 'NotAllowedError');
  } catch (error) {
    const kind = error instanceof DOMException ? REFUSALS[error.name] : undefined;
    throw kind ? new Problem(0, `urn:isigurt:${kind}`, String(error)) : error;
  }
}

function named({ id, rawId, type }: PublicKeyCredential) {
  return { id, rawId: letters(rawId), type, clientExtensionResults: {} };
}

function described({ id, transports }: PublicKeyCredentialDescriptorJSON): PublicKeyCredentialDescriptor {
  return { type: 'public-key', id: octets(id), ...(transports ? { transports: transports as AuthenticatorTransport[] } : {}) };
}

function octets(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
}

function letters(buffer: ArrayBuffer): string {
  const binary = Array.from(new Uint8Array(buffer), (octet) => String.fromCharCode(octet)).join('');
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}
