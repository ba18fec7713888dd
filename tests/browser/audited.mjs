// After the browser tests: was every page of the route table looked at by axe-core?
//
// usage: node audited.mjs docs/access.md FILE
//
// The table is made from the routes of the program and held to them by a test of the crate (src/web/tests/access.rs). FILE
// has the paths that were looked at, one a line, as `audit` in browser.mjs notes them. A page that is new fails here until
// a test looks at it, or until it stands below with a reason.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What answers GET and is no page to look at, and why. */
export const NO_PAGES = {
  '/.well-known/oauth-authorization-server': 'JSON',
  '/.well-known/oauth-authorization-server/{path:.*}': 'JSON',
  '/.well-known/oauth-protected-resource': 'JSON',
  '/.well-known/oauth-protected-resource/{path:.*}': 'JSON',
  '/.well-known/oauth2.0-configuration': 'JSON',
  '/.well-known/oidc-configuration': 'JSON',
  '/.well-known/openid-configuration': 'JSON',
  '/.well-known/openid-configuration/{path:.*}': 'JSON',
  '/api/openapi.json': 'JSON',
  '/api/problems': 'JSON',
  '/api/problems/{code}': 'JSON',
  '/blobs/{id:.*}': 'a download',
  '/events/stream': 'a stream',
  '/livez': 'for programs',
  '/messages/{id}/attachments/{part:.*}': 'a download',
  '/messages/{id}/html': 'somebody else’s mail, in a frame whose title says so',
  '/messages/{id}/raw': 'a download',
  '/oauth2/authorize': 'leads to the consent page or back to the application',
  '/oauth2/callback/{callbackId}': 'leads on; where it refuses, pages.test.mjs looks at the page',
  '/oauth2/jwks': 'JSON',
  '/oauth2/register/{client_id}': 'JSON',
  '/oauth2/userinfo': 'JSON',
  '/outgoing/{id}/raw': 'a download',
  '/pictures/{id}/{part:.*}': 'a picture',
  '/readyz': 'for programs',
  '/sign-in/link': 'leads on',
  '/sso/{id}/callback': 'leads on; where it refuses, sso.test.mjs looks at the page',
  '/sso/{id}/frontchannel-logout': 'two words in a frame that nobody sees',
  '/sso/{id}/jwks': 'JSON',
  '/sso/{id}/start': 'leads to the provider',
  '/sso/{id}/test': 'leads to the provider',
  '/static/{path:.*}': 'style sheets and scripts',
  '/tests/{id}/events': 'a stream',
};

/** The paths of the table that answer GET, outside the REST interface. */
export function routes(table) {
  const rows = table.split('<!-- end of rest -->')[1] ?? '';
  return [...rows.matchAll(/^\| GET (\S+) /gm)].map(([, path]) => path);
}

const parts = (path) => path.split('/').map((part) => part.startsWith('{'));
const named = (path) => parts(path).map(Number).join('');
const pattern = (path) => new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{[^}]*:\\?\.\*\}/g, '.+').replace(/\{[^}]*\}/g, '[^/]+')}$`);

/** What is wrong: pages that nobody looked at, and reasons that are none any more. */
export function missing(table, seen) {
  const all = routes(table);
  // `/mailboxes/new` before `/mailboxes/{id}`, as the program has it.
  const inOrder = all.toSorted((one, other) => (named(one) < named(other) ? -1 : 1));
  const looked = new Set(seen.map((path) => inOrder.find((route) => pattern(route).test(path))));
  return [
    ...all.filter((route) => !looked.has(route) && !NO_PAGES[route]).map((route) => `nobody looked at ${route}`),
    ...all.filter((route) => looked.has(route) && NO_PAGES[route]).map((route) => `${route} is looked at: take it out of NO_PAGES`),
    ...Object.keys(NO_PAGES).filter((route) => !all.includes(route)).map((route) => `there is no ${route}: take it out of NO_PAGES`),
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , table, file] = process.argv;
  const seen = [...new Set(readFileSync(file, 'utf8').split('\n').filter(Boolean))];
  const wrong = missing(readFileSync(table, 'utf8'), seen);
  for (const line of wrong) console.error(line);
  if (wrong.length > 0) process.exit(1);
  console.log(`axe-core looked at each page of ${table} (${routes(readFileSync(table, 'utf8')).length - Object.keys(NO_PAGES).length})`);
}
