// npm's `openid-client` against a running Mailgrant, in what goes beyond the basics: a key in place of a secret, a signed
// request that is pushed, tokens bound to a key, client credentials, introspection, revocation, a device, sign-out.
// Standard input and output as in `oauth4webapi-bound.mjs`, with `goodbye` beside; the second line of output asks for the
// device's page, the third for the sign-out.
import { createPrivateKey } from 'node:crypto';
import { createInterface } from 'node:readline';
import * as client from 'openid-client';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => (await lines.next()).value;
const input = JSON.parse(await read());
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const insecure = { execute: [client.allowInsecureRequests] };
const der = createPrivateKey(input.privateKey).export({ format: 'der', type: 'pkcs8' });
const key = await crypto.subtle.importKey('pkcs8', der, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
const signing = { key, kid: input.kid };
const config = await client.discovery(new URL(input.issuer), input.clientId, undefined, client.PrivateKeyJwt(signing), insecure);
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'));
const api = new URL(`${input.issuer}/api/v1/tickets`);
const seen = {};

const pkceCodeVerifier = client.randomPKCECodeVerifier();
const expectedState = client.randomState();
const expectedNonce = client.randomNonce();
const signed = await client.buildAuthorizationUrlWithJAR(config, {
  redirect_uri: input.redirectUri,
  scope: 'openid profile phone address offline_access tickets:read',
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: 'S256',
  state: expectedState,
  nonce: expectedNonce,
}, signing);
const pushed = await client.buildAuthorizationUrlWithPAR(config, signed.searchParams, { DPoP });
seen.pushed = [...pushed.searchParams.keys()].sort();
say({ address: pushed.href });

const checks = { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true };
const tokens = await client.authorizationCodeGrant(config, new URL(await read()), checks, undefined, { DPoP });
const { sub } = tokens.claims();
seen.type = tokens.token_type;
seen.userinfo = await client.fetchUserInfo(config, tokens.access_token, sub, { DPoP });
seen.api = (await client.fetchProtectedResource(config, tokens.access_token, api, 'GET', undefined, undefined, { DPoP })).status;
seen.unbound = await client.fetchProtectedResource(config, tokens.access_token, api, 'GET').then(({ status }) => status, ({ status }) => status);
const introspected = await client.tokenIntrospection(config, tokens.access_token);
seen.introspected = [introspected.active, introspected.token_type, typeof introspected.cnf?.jkt];

// A new ID token comes with new tokens: of the same sign-in (the library checks it against what it knows).
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
const [before, after] = [tokens.claims(), refreshed.claims()];
seen.renewed = ['iss', 'sub', 'aud', 'auth_time', 'sid', 'acr'].every((name) => String(before[name]) === String(after[name]));
seen.nonce = after.nonce ?? null;
await client.tokenRevocation(config, refreshed.refresh_token);
seen.revoked = (await client.tokenIntrospection(config, refreshed.access_token)).active;

const machine = await client.clientCredentialsGrant(config, { scope: 'tickets:read', resource: `${input.issuer}/api/v1` }, { DPoP });
seen.machine = [
  machine.token_type,
  (await client.fetchProtectedResource(config, machine.access_token, api, 'GET', undefined, undefined, { DPoP })).status,
];

// A device, which has neither key nor secret.
const device = await client.discovery(new URL(input.issuer), input.deviceClientId, undefined, client.None(), insecure);
const begun = await client.initiateDeviceAuthorization(device, { scope: 'openid tickets:read' });
say({ address: begun.verification_uri_complete });
await read();
const given = await client.pollDeviceAuthorizationGrant(device, { ...begun, interval: 1 });
seen.device = [given.token_type, given.claims().sub === sub];

const end = client.buildEndSessionUrl(config, { id_token_hint: refreshed.id_token, post_logout_redirect_uri: input.goodbye, state: 'bye' });
say({ address: end.href });
seen.goodbye = await read();
say(seen);
process.exit(0);
