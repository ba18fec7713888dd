// Starts Debian's glewlwyd, an OpenID Provider in C by another author, with its own pages; tests/it/support/glewlwyd.rs
// does the same for tests without a browser.
import { execFileSync, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chownSync, cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { eventually, freePort } from './mailgrant.mjs';

const PROGRAM = ['/usr/bin/glewlwyd', '/usr/sbin/glewlwyd'].find(existsSync);
const SCHEMA = '/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3';
const SAMPLE = '/usr/share/doc/glewlwyd/glewlwyd.conf.sample.gz';
const PAGES = '/usr/share/glewlwyd/webapp';
const WORDS = '/usr/share/glewlwyd/templates/config.json';
const NOBODY = 65534;

/** Mailgrant as a client of it. */
export const CLIENT = { id: 'mailgrant', secret: 'secret-of-glewlwyds-client' };
/** A person of it. */
export const ADA = { login: 'ada', password: 'correct horse battery', name: 'Ada Lovelace', email: 'ada@example.org' };

/** Its pages in a folder of our own: Debian's link to their configuration leads to a folder. */
function writePages(folder, home) {
  const wanted = (path) => !path.endsWith('/config.json') && existsSync(path);
  cpSync(PAGES, folder, { recursive: true, dereference: true, filter: wanted });
  const words = JSON.parse(readFileSync(WORDS, 'utf8'));
  const at = (path) => `${home}/${path}`;
  const places = { GlewlwydUrl: at(''), ProfileUrl: at('profile.html'), AdminUrl: at('index.html'), LoginUrl: at('login.html') };
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...words, ...places }));
}

function writeFiles(directory, port, home) {
  const database = join(directory, 'glewlwyd.db');
  execFileSync('sqlite3', [database], { input: readFileSync(SCHEMA) });
  const pages = join(directory, 'pages');
  writePages(pages, home);
  const set = {
    'port=': `port=${port}`,
    'external_url=': `external_url="${home}"`,
    'cookie_secure=': 'cookie_secure=0',
    'bind_address=': 'bind_address="127.0.0.1"',
    '#bind_address=': 'bind_address="127.0.0.1"',
    'static_files_path=': `static_files_path="${pages}/"`,
    '  path = ': `  path = "${database}"`,
  };
  const lines = gunzipSync(readFileSync(SAMPLE)).toString().split('\n');
  const settings = lines.map((line) => set[Object.keys(set).find((begin) => line.startsWith(begin))] ?? line);
  const file = join(directory, 'glewlwyd.conf');
  writeFileSync(file, settings.join('\n'));
  if (process.getuid() === 0) for (const path of [directory, database, file]) chownSync(path, NOBODY, NOBODY);
  return file;
}

/** A signed-in client of its API: `ask(method, path, body)`. */
async function signedIn(home, username, password) {
  const enter = await fetch(`${home}/api/auth/`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username, password }),
  });
  if (!enter.ok) throw new Error(`glewlwyd refused ${username}: ${enter.status}`);
  const cookie = enter.headers.getSetCookie().map((one) => one.split(';')[0]).join('; ');
  return async (method, path, body) => {
    const answer = await fetch(`${home}${path}`, {
      method, headers: { cookie, 'content-type': 'application/json' }, body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  };
}

/** The OpenID Connect plugin, with logout by frames. */
function plugin(issuer) {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    module: 'oidc',
    name: 'oidc',
    display_name: 'OIDC',
    parameters: {
      iss: issuer, 'jwt-type': 'rsa', 'jwt-key-size': '256',
      key: privateKey.export({ type: 'pkcs1', format: 'pem' }), cert: publicKey.export({ type: 'spki', format: 'pem' }),
      'code-duration': 600, 'access-token-duration': 3600, 'refresh-token-duration': 3600, 'refresh-token-rolling': true,
      'allow-non-oidc': false, 'auth-type-code-enabled': true, 'auth-type-token-enabled': false,
      'auth-type-id-token-enabled': true, 'auth-type-none-enabled': false, 'auth-type-password-enabled': false,
      'auth-type-client-enabled': false, 'auth-type-device-enabled': false, 'auth-type-refresh-enabled': true,
      'jwks-show': true, 'pkce-allowed': true, 'pkce-method-plain-allowed': false, 'session-management-allowed': true,
      'front-channel-logout-allowed': true, 'back-channel-logout-allowed': false,
      'session-cookie-name': 'GLEWLWYD2_OIDC_SID', 'session-cookie-expiration': 2_419_200, 'subject-type': 'public',
      'name-claim': 'mandatory', 'email-claim': 'mandatory', 'scope-claim': 'no', claims: [], 'oauth-as-iss-id': true,
      'allowed-scope': ['openid'], 'encrypt-out-token-allow': false, 'request-parameter-allow': true,
    },
  };
}

/** A running one: `{ issuer, home, addClient(redirects), stop() }`. Its cookies belong to `localhost`. */
export async function startGlewlwyd() {
  if (!PROGRAM) throw new Error('glewlwyd is not installed. Run `tests/run services`.');
  const port = await freePort();
  const home = `http://localhost:${port}`;
  const directory = await mkdtemp(join(tmpdir(), 'glewlwyd-'));
  const file = writeFiles(directory, port, home);
  const user = process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const server = spawn(PROGRAM, ['-c', file], { stdio: 'ignore', cwd: directory, ...user });
  const stop = async () => {
    server.kill('SIGKILL');
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await eventually('glewlwyd answers', async () => (await fetch(`${home}/config`).catch(() => undefined))?.ok);
    const issuer = `${home}/api/oidc`;
    const admin = await signedIn(home, 'admin', 'password');
    await admin('POST', '/api/mod/plugin/', plugin(issuer));
    await admin('POST', '/api/user/?source=database', {
      username: ADA.login, name: ADA.name, email: ADA.email, password: ADA.password, enabled: true, scope: ['openid'],
    });
    /** Registers Mailgrant with these addresses, and lets Ada allow it. */
    const addClient = async ({ redirectUrl, frontchannelLogoutUrl, postLogoutRedirectUrl }) => {
      await admin('POST', '/api/client/?source=database', {
        client_id: CLIENT.id, name: 'Mailgrant', confidential: true, enabled: true, password: CLIENT.secret,
        client_secret: CLIENT.secret, redirect_uri: [redirectUrl], authorization_type: ['code'],
        token_endpoint_auth_method: ['client_secret_basic'], scope: [], frontchannel_logout_uri: frontchannelLogoutUrl,
        frontchannel_logout_session_required: 'true', post_logout_redirect_uris: postLogoutRedirectUrl,
      });
      const ada = await signedIn(home, ADA.login, ADA.password);
      await ada('PUT', `/api/auth/grant/${CLIENT.id}`, { scope: 'openid' });
    };
    return { issuer, home, addClient, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
