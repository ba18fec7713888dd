// Starts npm's oidc-provider, an OAuth 2.0 and OpenID Connect server that is not ours, for the tests.
//
// usage: node oidc-provider.mjs '{"port": 12345, "clients": [{"client_id": "a", "client_secret": "b",
//        "redirect_uris": ["http://127.0.0.1:8080/oauth2/callback/x"]}]}'
//
// Further members: "accessTokenSeconds" (3600), "refreshTokenSeconds", "appMailbox" (the `sub` of a client-credentials
// token: such a token is nobody's, so a mail server must be told whose mailbox it opens), "requirePkce" (true).
// For people who sign in with it: "people" (login → claims beside `sub`), "freshKeys" (a new signing key at each start),
// "backchannelLogout" (tells clients that ask for it when somebody signs out), "removed" (a file of logins that are gone).
// Login page: any user name, any password; the subject is the user name. Prints "ready ISSUER" when it listens.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${settings.port}`;

// People who are not there any more, one a line.
const removed = () => (existsSync(settings.removed ?? '') ? readFileSync(settings.removed, 'utf8').split('\n') : []);

const client = (given) => {
  const redirects = given.redirect_uris ?? [];
  const people = redirects.length > 0;
  return {
    redirect_uris: redirects,
    response_types: people ? ['code'] : [],
    grant_types: ['client_credentials', ...(people ? ['authorization_code', 'refresh_token'] : [])],
    ...given,
  };
};

const freshKey = () => ({
  ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }),
  kid: randomUUID(),
  alg: 'RS256',
  use: 'sig',
});

const provider = new Provider(issuer, {
  ...(settings.freshKeys ? { jwks: { keys: [freshKey()] } } : {}),
  clients: settings.clients.map(client),
  pkce: { required: () => settings.requirePkce ?? true },
  scopes: ['openid', 'offline_access', 'email', 'profile', 'mail'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username', 'nickname', 'groups'] },
  ttl: {
    AccessToken: settings.accessTokenSeconds ?? 3600,
    ClientCredentials: settings.accessTokenSeconds ?? 3600,
    RefreshToken: settings.refreshTokenSeconds ?? 14 * 24 * 3600,
  },
  // A rotated refresh token that comes back kills the grant: the library's own behaviour.
  rotateRefreshToken: true,
  issueRefreshToken: async (_ctx, forClient, code) =>
    forClient.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  extraTokenClaims: async (_ctx, token) =>
    token.kind === 'ClientCredentials' && settings.appMailbox ? { sub: settings.appMailbox } : undefined,
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
    backchannelLogout: { enabled: settings.backchannelLogout ?? false },
  },
  // Its own guard against addresses inside would keep it from telling a client on this machine.
  fetch: (url, { dispatcher, ...options } = {}) => fetch(url, options),
  findAccount: async (_ctx, id) =>
    removed().includes(id)
      ? undefined
      : {
          accountId: id,
          claims: async () => ({ sub: id, email: id, email_verified: true, name: id, ...settings.people?.[id] }),
        },
});

for (const event of ['server_error', 'grant.error', 'authorization.error', 'backchannel.error']) {
  provider.on(event, (_ctx, error) => console.error(event, error.error ?? '', error.error_description ?? error));
}

provider.listen(settings.port, '127.0.0.1', () => console.log(`ready ${issuer}`));
