// A push service with browsers (RFC 8030), for tests: takes what a gateway sends, checks who signed it (RFC 8292), and opens it with
// the browser's keys by an implementation of RFC 8188 and 8291 that is not the gateway's (npm `http_ece`).
//
// `start` is for tests in Node. As a program (`node push-service.mjs CERTIFICATE KEY`) it takes orders as lines of JSON and tells as
// lines of JSON what came; used by `tests/tests/push.rs`.
import { createECDH, createHash, createPublicKey, randomBytes, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import ece from 'http_ece';

const letters = (octets) => Buffer.from(octets).toString('base64url');

/** Checks a VAPID header: what the token claims, and whose key signed it; throws where it is none. */
function signer(authorization, origin) {
  const [, token, key] = /^vapid t=([\w-]+\.[\w-]+\.[\w-]+), k=([\w-]+)$/.exec(authorization) ?? [];
  if (!token) throw new Error(`no VAPID header: ${authorization}`);
  const [head, claims, signature] = token.split('.');
  const point = Buffer.from(key, 'base64url');
  const jwk = { kty: 'EC', crv: 'P-256', x: letters(point.subarray(1, 33)), y: letters(point.subarray(33)) };
  const good = verify('sha256', Buffer.from(`${head}.${claims}`), { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
  const said = JSON.parse(Buffer.from(claims, 'base64url'));
  const { alg } = JSON.parse(Buffer.from(head, 'base64url'));
  const now = Date.now() / 1000;
  if (!good || alg !== 'ES256') throw new Error('the signature is not that of the key');
  if (said.aud !== origin) throw new Error(`the token is for ${said.aud}, not for ${origin}`);
  if (!(said.exp > now && said.exp <= now + 24 * 3600)) throw new Error(`the token ends ${said.exp}, now is ${now}`);
  if (!/^(mailto:|https:)/.test(said.sub)) throw new Error(`nobody to write to: ${said.sub}`);
  return { key, claims: said };
}

/** Starts one; `arrived` is called with each message, opened. */
export async function start(certificate, key, arrived) {
  const browsers = new Map();
  let answer = { status: 201, headers: {} };
  const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts);
      const told = { path: request.url, method: request.method, headers: request.headers, octets: body.length };
      const browser = browsers.get(request.url);
      try {
        told.vapid = signer(request.headers.authorization, origin);
        if (!browser) throw new Error('no such browser');
        told.text = ece.decrypt(body, { version: 'aes128gcm', privateKey: browser.ecdh, authSecret: letters(browser.auth) }).toString();
      } catch (error) {
        told.error = String(error);
      }
      const { status, headers } = answer;
      response.writeHead(status, headers).end();
      arrived({ ...told, status });
    });
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const origin = `https://127.0.0.1:${server.address().port}`;
  return {
    origin,
    /** A new browser: what its `PushSubscription.toJSON()` says. */
    subscribe() {
      const ecdh = createECDH('prime256v1');
      ecdh.generateKeys();
      const path = `/send/${letters(randomBytes(12))}`;
      const auth = randomBytes(16);
      browsers.set(path, { ecdh, auth });
      return { endpoint: origin + path, keys: { p256dh: letters(ecdh.getPublicKey()), auth: letters(auth) } };
    },
    /** How the gateway names it. */
    mark: (endpoint) => createHash('sha256').update(endpoint).digest('hex').slice(0, 32),
    /** How everything is answered from now on. */
    answer: (status, headers = {}) => {
      answer = { status, headers };
    },
    close: () => server.close(),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const tell = (what) => console.log(JSON.stringify(what));
  const service = await start(process.argv[2], process.argv[3], (message) => tell({ message }));
  tell({ origin: service.origin });
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    if (order.subscribe) tell({ browser: service.subscribe() });
    if (order.answer) {
      service.answer(order.answer.status, order.answer.headers);
      tell({ answers: order.answer.status });
    }
  }
  service.close();
  process.exit(0);
}
