// npm's `oauth4webapi` against a running Mailgrant, in what goes beyond the basics: a key in place of a secret, a signed
// request that is pushed, tokens bound to a key, a signed answer of introspection, a device.
// Standard input: {issuer, clientId, privateKey, kid, redirectUri, deviceClientId}. First line of standard output: the address to
// send a browser to; then, after a line with the redirect it ended in came in, what was seen, as JSON.
import { createPrivateKey } from 'node:crypto';
import { createInterface } from 'node:readline';
import * as oauth from 'oauth4webapi';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => (await lines.next()).value;
const input = JSON.parse(await read());
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
const options = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(input.issuer);
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
const der = createPrivateKey(input.privateKey).export({ format: 'der', type: 'pkcs8' });
const key = await crypto.subtle.importKey('pkcs8', der, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
const client = { client_id: input.clientId, introspection_signed_response_alg: 'ES256', id_token_signed_response_alg: 'RS256' };
const auth = oauth.PrivateKeyJwt({ key, kid: input.kid });
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
const seen = {};

// Asks again where the server wants its own nonce in the proof.
async function twice(ask) {
  try {
    return await ask();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    seen.nonce = true;
    return ask();
  }
}

// A request that is signed, pushed, and bound to the key of the tokens.
const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const nonce = oauth.generateRandomNonce();
const request = new URLSearchParams({
  response_type: 'code',
  redirect_uri: input.redirectUri,
  scope: 'openid profile offline_access tickets:read',
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  state,
  nonce,
});
const object = await oauth.issueRequestObject(as, client, request, { key, kid: input.kid });
const pushed = await twice(async () => {
  const answer = await oauth.pushedAuthorizationRequest(as, client, auth, { request: object }, { DPoP, ...options });
  return oauth.processPushedAuthorizationResponse(as, client, answer);
});
const address = new URL(as.authorization_endpoint);
address.searchParams.set('client_id', client.client_id);
address.searchParams.set('request_uri', pushed.request_uri);
say({ address: address.href });

const params = oauth.validateAuthResponse(as, client, new URL(await read()), state);
const tokens = await twice(async () => {
  const answer = await oauth.authorizationCodeGrantRequest(as, client, auth, params, input.redirectUri, verifier, { DPoP, ...options });
  return oauth.processAuthorizationCodeResponse(as, client, answer, { expectedNonce: nonce, requireIdToken: true });
});
seen.type = tokens.token_type;
seen.claims = oauth.getValidatedIdTokenClaims(tokens);
const userinfo = await twice(() => oauth.userInfoRequest(as, client, tokens.access_token, { DPoP, ...options }));
seen.name = (await oauth.processUserInfoResponse(as, client, seen.claims.sub, userinfo)).name;
const api = await oauth.protectedResourceRequest(tokens.access_token, 'GET', new URL(`${input.issuer}/api/v1/tickets`), undefined, undefined, { DPoP, ...options });
seen.api = api.status;

// Introspection, signed (RFC 9701): the library checks the signature against the key set.
const checked = await oauth.introspectionRequest(as, client, auth, tokens.access_token, options);
const introspected = await oauth.processIntrospectionResponse(as, client, checked);
await oauth.validateApplicationLevelSignature(as, checked, options);
seen.introspected = introspected.active;
seen.bound = typeof introspected.cnf?.jkt;

const refreshed = await twice(async () => {
  const answer = await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, { DPoP, ...options });
  return oauth.processRefreshTokenResponse(as, client, answer);
});
seen.refreshed = refreshed.token_type;
const revoked = await oauth.revocationRequest(as, client, auth, refreshed.refresh_token, options);
await oauth.processRevocationResponse(revoked);
const gone = await oauth.introspectionRequest(as, { client_id: client.client_id }, auth, refreshed.access_token, options);
seen.revoked = (await oauth.processIntrospectionResponse(as, { client_id: client.client_id }, gone)).active;

// A device.
const device = { client_id: input.deviceClientId };
const begun = await oauth.processDeviceAuthorizationResponse(
  as, device, await oauth.deviceAuthorizationRequest(as, device, oauth.None(), { scope: 'openid tickets:read' }, options),
);
const poll = async () => oauth.processDeviceCodeResponse(
  as, device, await oauth.deviceCodeGrantRequest(as, device, oauth.None(), begun.device_code, options),
);
seen.waiting = await poll().then(() => 'given', (error) => error.error);
say({ address: begun.verification_uri_complete });
await read();
seen.device = (await poll()).token_type;
say(seen);
process.exit(0);
