// A relying party that is not ours: npm's `openid-client` and `oauth4webapi` against a running Mailgrant.
// Standard input: {issuer, clientId, clientSecret, redirectUri, email, password}. Standard output: what it saw, as JSON.
import * as client from 'openid-client';
import * as oauth from 'oauth4webapi';

const input = JSON.parse(await new Response(process.stdin).text());
const seen = {};
const insecure = { execute: [client.allowInsecureRequests] };
const config = await client.discovery(
  new URL(input.issuer), input.clientId, undefined, client.ClientSecretBasic(input.clientSecret), insecure,
);
seen.issuer = config.serverMetadata().issuer;

// A browser's part: cookies and forms.
const jar = new Map();
async function visit(url, options = {}) {
  const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
  const answer = await fetch(url, { redirect: 'manual', ...options, headers: { ...options.headers, cookie } });
  for (const set of answer.headers.getSetCookie()) {
    const [name, ...rest] = set.split(';')[0].split('=');
    jar.set(name, rest.join('='));
  }
  return answer;
}
const unescape = (text) => text.replaceAll('&amp;', '&').replaceAll('&#x2F;', '/').replaceAll('&#x3D;', '=');
const hidden = (html, name) => unescape(new RegExp(`name="${name}" value="([^"]*)"`).exec(html)?.[1] ?? '');
async function walk(start) {
  let url = start.href;
  for (let steps = 0; steps < 12; steps += 1) {
    const answer = await visit(url);
    let next = answer.headers.get('location');
    if (!next) {
      const html = await answer.text();
      const refresh = /content="0;url=([^"]*)"/.exec(html);
      if (refresh) next = unescape(refresh[1]);
      else {
        const form = new URLSearchParams({ csrf: hidden(html, 'csrf') });
        let action = url;
        if (html.includes('name="password"')) {
          action = new URL('/sign-in', input.issuer).href;
          for (const [name, value] of Object.entries({ email: input.email, password: input.password, next: hidden(html, 'next') })) {
            form.append(name, value);
          }
        } else {
          form.append('decision', 'allow');
          form.append('reach', 'all');
          for (const [, scope] of html.matchAll(/name="scope" value="([^"]*)"/g)) form.append('scope', unescape(scope));
        }
        const posted = await visit(action, { method: 'POST', body: form });
        next = posted.headers.get('location');
        if (!next) {
          const html = await posted.text();
          const refresh = /content="0;url=([^"]*)"/.exec(html);
          if (!refresh) throw new Error(`${posted.status} ${html}`);
          next = unescape(refresh[1]);
        }
      }
    }
    if (next.startsWith(input.redirectUri)) return new URL(next);
    url = new URL(next, url).href;
  }
  throw new Error('the walk did not end');
}

const pkceCodeVerifier = client.randomPKCECodeVerifier();
const expectedNonce = client.randomNonce();
const expectedState = client.randomState();
const authorization = client.buildAuthorizationUrl(config, {
  redirect_uri: input.redirectUri,
  scope: 'openid profile email offline_access tickets:read',
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: 'S256',
  nonce: expectedNonce,
  state: expectedState,
});
const callback = await walk(authorization);
// Checks state, iss (RFC 9207), nonce, signature, audience, times, at_hash.
const tokens = await client.authorizationCodeGrant(config, callback, { pkceCodeVerifier, expectedNonce, expectedState });
seen.claims = tokens.claims();
seen.userinfo = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
const api = await client.fetchProtectedResource(config, tokens.access_token, new URL(`${input.issuer}/api/v1/tickets`), 'GET');
seen.api = api.status;
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token);
seen.rotated = refreshed.refresh_token !== tokens.refresh_token;
await client.fetchUserInfo(config, refreshed.access_token, tokens.claims().sub);
seen.reuse = await client.refreshTokenGrant(config, tokens.refresh_token).then(() => 'accepted', (error) => error.error);
seen.family = (await client.tokenIntrospection(config, refreshed.access_token)).active;
const machine = await client.clientCredentialsGrant(config, { scope: 'tickets:read' });
seen.machine = (await client.tokenIntrospection(config, machine.access_token)).active;
await client.tokenRevocation(config, machine.access_token);
seen.revoked = (await client.tokenIntrospection(config, machine.access_token)).active;

// The second library: discovery by the OAuth 2.0 name, and a token.
const issuer = new URL(input.issuer);
const options = { [oauth.allowInsecureRequests]: true };
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...options, algorithm: 'oauth2' }));
const own = { client_id: input.clientId };
const answer = await oauth.clientCredentialsGrantRequest(as, own, oauth.ClientSecretBasic(input.clientSecret), { scope: 'tickets:read' }, options);
seen.second = (await oauth.processClientCredentialsResponse(as, own, answer)).token_type;

// A client that registers itself, signs a person in, and signs them out again.
if (input.initialToken) {
  const own = await client.dynamicClientRegistration(
    issuer,
    {
      client_name: 'Registered', redirect_uris: [input.redirectUri], post_logout_redirect_uris: [input.goodbye],
      scope: 'openid profile', token_endpoint_auth_method: 'client_secret_post',
    },
    undefined,
    { ...insecure, initialAccessToken: input.initialToken },
  );
  const metadata = own.clientMetadata();
  const managed = await fetch(metadata.registration_client_uri, {
    headers: { authorization: `Bearer ${metadata.registration_access_token}` },
  });
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const begin = client.buildAuthorizationUrl(own, {
    redirect_uri: input.redirectUri, scope: 'openid profile', state,
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  });
  const signedIn = await client.authorizationCodeGrant(own, await walk(begin), { pkceCodeVerifier: verifier, expectedState: state });
  const end = client.buildEndSessionUrl(own, {
    id_token_hint: signedIn.id_token, post_logout_redirect_uri: input.goodbye, state: 'bye',
  });
  const goodbye = (await visit(end.href)).headers.get('location');
  const silent = new URL(begin);
  silent.searchParams.set('prompt', 'none');
  const after = new URL((await visit(silent.href)).headers.get('location'));
  seen.registered = {
    managed: (await managed.json()).client_name, name: signedIn.claims().name, goodbye, after: after.searchParams.get('error'),
  };
}
process.stdout.write(JSON.stringify(seen));
