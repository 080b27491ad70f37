// A school's service for the tests: `node oidc.mjs FOLDER PORT CALLBACK` is a real one (npm oidc-provider, installed below FOLDER), with
// its own login pages; `node oidc.mjs - PORT` is one that lies in whatever way the address of its login page says (`&lie=…`).
import { createHmac, createSign, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';

const [folder, port, callback] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

const people = {
    sara: { preferred_username: 'sara', groups: ['7a', 'choir'], email: 'sara@school.example', email_verified: true },
    pupil: { preferred_username: 'pupil', groups: ['pupils'], email: 'pupil@school.example', email_verified: true },
    namesake: { preferred_username: 'Ana', groups: ['it'], email: 'ana@school.example', email_verified: true },
    unverified: { preferred_username: 'unverified', groups: ['it'], email: 'it@school.example', email_verified: false },
    foreign: { preferred_username: 'foreign', groups: ['it'], email: 'it@evil.example', email_verified: true },
};

async function real() {
    const { Provider } = await import(`${folder}/node_modules/oidc-provider/lib/index.js`);
    const provider = new Provider(issuer, {
        clients: [{ client_id: 'gateway', client_secret: 'a secret of the tests', redirect_uris: [callback] }],
        claims: { profile: ['preferred_username'], email: ['email', 'email_verified'], groups: ['groups'] },
        cookies: { keys: ['for the tests'] },
        findAccount: (_, id) =>
            people[id] && { accountId: id, claims: async () => ({ sub: id, ...people[id] }) },
        pkce: { required: () => true },
    });
    provider.listen(Number(port), '127.0.0.1');
}

const coded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A key pair with the id that it is published under. */
function pair(kid) {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' } };
}

function lying() {
    let known = pair('first');
    const unpublished = pair('unpublished');

    function token({ lie, nonce, groups }) {
        const now = Math.floor(Date.now() / 1000);
        const claims = { iss: issuer, aud: 'gateway', sub: 'tana', nonce, iat: now, exp: now + 300, groups, preferred_username: 'tana' };
        let { kid } = known;
        let key = known.privateKey;
        let alg = 'RS256';
        switch (lie) {
            case 'issuer': claims.iss = 'http://evil.example'; break;
            case 'audience': claims.aud = 'another'; break;
            case 'expired': Object.assign(claims, { iat: now - 900, exp: now - 300 }); break;
            case 'slow-clock': Object.assign(claims, { iat: now + 30, exp: now - 30 }); break;
            case 'future': claims.iat = now + 3600; break;
            case 'nonce': claims.nonce = 'another'; break;
            case 'no-nonce': delete claims.nonce; break;
            case 'unknown-key': ({ kid, privateKey: key } = unpublished); break;
            case 'stolen-id': key = unpublished.privateKey; break;
            case 'rotated': known = pair('second'); ({ kid, privateKey: key } = known); break;
            case 'none': alg = 'none'; break;
            case 'hs256': alg = 'HS256'; break;
            default:
        }
        const signed = `${coded({ alg, kid })}.${coded(claims)}`;
        if (alg === 'none') return `${signed}.`;
        if (alg === 'HS256') {
            return `${signed}.${createHmac('sha256', 'a secret of the tests').update(signed).digest('base64url')}`;
        }
        const signature = createSign('RSA-SHA256').update(signed).sign(key, 'base64url');
        if (lie === 'changed') return `${coded({ alg, kid })}.${coded({ ...claims, groups: ['owners'] })}.${signature}`;
        return `${signed}.${signature}`;
    }

    const server = createServer((request, response) => {
        const url = new URL(request.url, issuer);
        const json = (value) => {
            response.setHeader('content-type', 'application/json');
            response.end(JSON.stringify(value));
        };
        let body = '';
        request.on('data', (part) => { body += part; });
        request.on('end', () => {
            switch (url.pathname) {
                case '/.well-known/openid-configuration':
                    return json({
                        issuer,
                        authorization_endpoint: `${issuer}/auth`,
                        token_endpoint: `${issuer}/token`,
                        jwks_uri: `${issuer}/jwks`,
                        response_types_supported: ['code'],
                        subject_types_supported: ['public'],
                        id_token_signing_alg_values_supported: ['RS256', 'HS256', 'none'],
                    });
                case '/jwks':
                    return json({ keys: [known.jwk] });
                case '/auth': {
                    const back = new URL(url.searchParams.get('redirect_uri'));
                    const groups = (url.searchParams.get('groups') ?? '').split(',');
                    const code = coded({ lie: url.searchParams.get('lie'), nonce: url.searchParams.get('nonce'), groups });
                    back.searchParams.set('state', url.searchParams.get('state'));
                    back.searchParams.set('code', code);
                    response.writeHead(303, { location: back.href });
                    return response.end();
                }
                case '/token': {
                    const code = new URLSearchParams(body).get('code');
                    const asked = JSON.parse(Buffer.from(code, 'base64url').toString());
                    const answer = { access_token: 'a', token_type: 'Bearer', id_token: token(asked) };
                    if (asked.lie === 'no-token') delete answer.id_token;
                    return json(answer);
                }
                default:
                    response.statusCode = 404;
                    return response.end();
            }
        });
    });
    server.listen(Number(port), '127.0.0.1');
}

if (folder === '-') lying();
else await real();
