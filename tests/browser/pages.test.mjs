// Every page of a working installation, wide and narrow, light and dark: accessible, inside its width, nothing blocked.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { audit, fitsItsWidth, nothingIsCut, screenshot } from './browser.mjs';
import { allow, connectDemoMailbox, openDemo } from './demo.mjs';
import { eventually } from './mailgrant.mjs';

let it;
let page;

before(async () => {
  it = await openDemo({ reducedMotion: 'reduce' });
  page = it.page;
  await connectDemoMailbox(page);
  await page.locator('[data-test-state] .mg-tone-ok').waitFor();
  await eventually('tickets are there', async () => {
    await it.goto('/tickets');
    return await page.locator('tbody tr').count() >= 8;
  });
});

after(async () => {
  await it?.close();
});

/** Both widths, both colour schemes; the page stays loaded. `expected` are console messages that belong to it. */
async function inspect(name, expected = /^$/) {
  for (const [width, height] of [[1280, 800], [320, 640]]) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await audit(page, `${name} (${width} px, ${colorScheme})`);
      await fitsItsWidth(page, `${name} (${width} px)`);
      await nothingIsCut(page, name);
      await screenshot(page, `${name}-${width}-${colorScheme}`);
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.emulateMedia({ colorScheme: 'light' });
  const problems = it.browser.problems.splice(0).filter((problem) => !expected.test(problem));
  assert.deepEqual(problems, [], name);
}

/** Opens a page and looks at it; with a list's path and `first`, the first of its items. */
const open = {
  path: (path) => () => it.goto(path),
  first: (list, then = '') => async () => {
    await it.goto(list);
    const href = await page.locator(`main a[href^="${list}/"]:not([href*="/new"], [href$="/invite"])`).first().getAttribute('href');
    await it.goto(href + then);
    assert.equal(new URL(page.url()).pathname, href + then, 'and nowhere else');
  },
};

/** The first link of this kind on the page before. */
const follow = (before, pattern, then = (href) => href) => async () => {
  await before();
  const hrefs = await page.locator('main a').evaluateAll((all) => all.map((one) => one.getAttribute('href')));
  const href = hrefs.find((one) => pattern.test(one));
  assert.ok(href, `${pattern} among ${hrefs}`);
  await it.goto(then(href));
};

const PAGES = {
  dashboard: open.path('/'),
  tickets: open.path('/tickets'),
  'tickets-none-found': open.path('/tickets?q=no-such-words'),
  'tickets-filtered': open.path('/tickets?state=open&priority=normal&sort=priority'),
  ticket: open.first('/tickets'),
  'ticket-split': open.first('/tickets', '/split'),
  message: follow(open.first('/tickets'), /^\/messages\/.+\/raw$/, (href) => href.replace(/\/raw$/, '')),
  'attached-mail': async () => {
    const text = `SELECT id FROM messages WHERE parsed LIKE '%"message/rfc822"%' LIMIT 1`;
    const id = await eventually('a mail in a mail', () => it.demo.sql(text).trim());
    await it.goto(`/messages/${id}`);
    await page.getByRole('link', { name: /Mail in part/ }).first().click();
    await page.waitForURL(/\/attached-mails\//);
  },
  'connect-done': follow(open.path('/mailboxes'), /^\/mailboxes\/mbx_/, (href) => href.replace('/mailboxes/', '/connect/done/')),
  quarantine: open.path('/quarantine'),
  rules: open.path('/rules'),
  'rule-new': open.path('/rules/new'),
  'ticket-new': open.path('/tickets/new'),
  search: open.path('/search'),
  'search-found': open.path('/search?q=the'),
  'search-none-found': open.path('/search?q=no-such-words+is:odd'),
  mailboxes: open.path('/mailboxes'),
  mailbox: open.first('/mailboxes'),
  'mailbox-edit': open.first('/mailboxes', '/edit'),
  'mailbox-delete': open.first('/mailboxes', '/delete'),
  'mailbox-new': open.path('/mailboxes/new'),
  'outgoing-empty': open.path('/outgoing'),
  'outgoing-none-found': open.path('/outgoing?state=failed'),
  projects: open.path('/projects'),
  templates: open.first('/projects', '/templates'),
  template: open.first('/projects', '/templates/acknowledgement'),
  project: open.first('/projects'),
  'project-edit': open.first('/projects', '/edit'),
  'project-new': open.path('/projects/new'),
  grants: open.path('/grants'),
  grant: open.first('/grants'),
  'grant-revoke': open.first('/grants', '/revoke'),
  integrations: open.path('/integrations'),
  integration: open.first('/integrations'),
  'integration-projects': open.first('/integrations', '/projects'),
  'integration-edit': open.first('/integrations', '/edit'),
  'integration-delete': open.first('/integrations', '/delete'),
  'integration-new-google': open.path('/integrations/new?provider=google'),
  'integration-new-microsoft': open.path('/integrations/new?provider=microsoft'),
  'integration-new-custom': open.path('/integrations/new?provider=custom'),
  connect: open.path('/connect'),
  'connect-google': open.path('/connect/google'),
  'connect-microsoft': open.path('/connect/microsoft'),
  clients: open.path('/clients'),
  'client-new': open.path('/clients/new'),
  'client-registration': open.path('/clients/registration'),
  'signing-keys': open.path('/settings/keys'),
  settings: open.path('/settings'),
  'site-mail': open.path('/settings/mail'),
  audit: open.path('/audit'),
  'trusted-issuers': open.path('/trusted-issuers'),
  'trusted-issuer-new': open.path('/trusted-issuers/new'),
  'audit-none-found': open.path('/audit?action=webhook.*&via=rule'),
  reference: open.path('/reference'),
  device: open.path('/device?user_code=BCDF-GHJK'),
  profile: open.path('/profile'),
  'second-factor': open.path('/profile/second-factor'),
  'token-new': open.path('/profile/tokens/new'),
  users: open.path('/users'),
  'users-none-found': open.path('/users?q=nobody-is-called-so'),
  'user-invite': open.path('/users/invite'),
  user: open.first('/users'),
  tokens: open.path('/tokens'),
  'project-members': open.first('/projects', '/members'),
  'forgot-password': open.path('/forgot-password'),
};

for (const [name, show] of Object.entries(PAGES)) {
  test(`accessible at both widths and in both colour schemes: ${name}`, async () => {
    await show();
    await inspect(name);
  });
}

for (const [name, path, status] of [
  ['error-not-found', '/no-such-page', 404],
  ['error-ticket-not-found', '/tickets/HELP-999999', 404],
  ['callback-unknown', '/oauth2/callback/nobody-drew-this?code=x&state=y', 0],
]) {
  test(`an error page says what to do: ${name}`, async () => {
    const answer = await it.goto(path);
    if (status) assert.equal(answer.status(), status);
    assert.ok(answer.status() >= 400);
    await page.getByText('What to do:').first().waitFor();
    assert.ok(await page.locator('main').getByRole('link').count() > 0, 'a way on');
    await inspect(name, /status of 4\d\d/);
  });
}

test('consent refused at the provider: the page says so and offers another try', async () => {
  await it.goto('/connect');
  await page.getByRole('button', { name: 'Connect the demo mailbox' }).click();
  await page.getByRole('button', { name: 'Refuse' }).click();
  await page.getByText('access_denied').first().waitFor();
  await page.getByText('What to do:').waitFor();
  await inspect('callback-refused', /status of 4\d\d/);
});

test('a changed endpoint draws a new redirect URL; the old one names it', async () => {
  await it.goto('/integrations/new?provider=custom');
  await page.getByLabel('Name', { exact: true }).fill('Moved');
  await page.getByLabel('Client ID').fill('made-up');
  await page.getByLabel(/^Client secret/).fill('made-up');
  await page.getByLabel('Scopes').fill('imap');
  await page.getByLabel('Authorization endpoint').fill('https://127.0.0.1/authorize');
  await page.getByLabel('Token endpoint').fill('https://127.0.0.1/token');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('heading', { name: 'Moved', level: 1 }).waitFor();
  const old = await page.getByRole('textbox', { name: 'Redirect URL', exact: true }).inputValue();
  await page.getByRole('link', { name: 'Edit' }).click();
  await page.getByText('If you change an endpoint, this URL changes').waitFor();
  await page.getByLabel('Token endpoint').fill('https://127.0.0.1/other/token');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('heading', { name: 'Moved', level: 1 }).waitFor();
  const now = await page.getByRole('textbox', { name: 'Redirect URL', exact: true }).inputValue();
  assert.notEqual(now, old);
  await inspect('integration-unused');
  await page.goto(`${old}?code=x&state=y`);
  assert.equal(await page.getByRole('textbox', { name: 'New redirect URL', exact: true }).inputValue(), now);
  await inspect('redirect-changed', /status of 4\d\d/);
});

test('an integration’s own test ends with a verdict for each step', async () => {
  await it.goto('/integrations');
  await page.getByRole('link', { name: 'Sandbox' }).click();
  await page.getByRole('button', { name: 'Test', exact: true }).click();
  await page.waitForURL(/\/tests\//);
  await page.locator('[data-test-state] :is(.mg-tone-ok, .mg-tone-warn)').waitFor();
  await inspect('integration-test');
});

/** A mail server that says nothing until it is told to. */
async function silentServer() {
  const sockets = new Set();
  let greet;
  const greeted = new Promise((resolve) => { greet = resolve; });
  const server = createServer(async (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    await greeted;
    socket.end('* BYE [ALERT] closed for stock-taking\r\n');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    sockets.forEach((socket) => socket.destroy());
    server.close();
  };
  return { port: server.address().port, greet, close };
}

test('the steps of a test stream into the page while it runs, and its failure names cause and remedy', async () => {
  const server = await silentServer();
  try {
    await it.goto('/mailboxes/new');
    await page.getByLabel('Name', { exact: true }).fill('Silent');
    await page.locator('#host').fill('127.0.0.1');
    await page.locator('#port').fill(String(server.port));
    await page.locator('#tls').selectOption('none');
    await page.locator('#login_name').fill('demo@sandbox.test');
    await page.getByRole('button', { name: 'Save', exact: true }).last().click();
    await page.waitForURL(/\/(tests|mailboxes)\/\w/);
    if (!page.url().includes('/tests/')) await page.getByRole('button', { name: 'Test connection' }).click();
    const step = (name, tone) => page.locator(`[data-step="${name}"].mg-tone-${tone}`);
    await step('tcp', 'ok').waitFor();
    assert.equal(await page.locator('[data-test-state] .mg-tone-busy').count(), 1, 'it is running');
    await page.evaluate(() => { globalThis.sameDocument = true; });
    await inspect('test-running');
    server.greet();
    await page.locator('[data-test-state] .mg-tone-bad').waitFor();
    assert.equal(await page.evaluate(() => globalThis.sameDocument), true, 'the page was not loaded again');
    const failed = page.locator('[data-test-steps] > .mg-tone-fail');
    await failed.getByText('closed for stock-taking').first().waitFor();
    await failed.getByText('What to do:').waitFor();
    await inspect('test-failed');
  } finally {
    server.close();
  }
});

test('the keyboard opens the narrow menu and follows it', async () => {
  await page.setViewportSize({ width: 320, height: 640 });
  await it.goto('/');
  for (let stop = 0; stop < 5; stop += 1) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(() => document.activeElement.tagName) === 'SUMMARY') break;
  }
  await page.keyboard.press('Enter');
  const menu = page.getByRole('navigation', { name: 'Main menu' });
  await menu.getByRole('link', { name: 'Tickets' }).waitFor();
  await audit(page, 'the open menu');
  await fitsItsWidth(page);
  await screenshot(page, 'menu-320');
  await menu.getByRole('link', { name: 'Tickets' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Tickets', level: 1 }).waitFor();
  await page.setViewportSize({ width: 1280, height: 800 });
});

test('the theme that was chosen stays, whatever the device says', async () => {
  await it.goto('/profile');
  await page.getByLabel(/^Dark/).check();
  await page.getByRole('button', { name: 'Use it' }).click();
  await page.waitForLoadState();
  await page.emulateMedia({ colorScheme: 'light' });
  assert.equal(await page.locator('html').getAttribute('data-bs-theme'), 'dark');
  await it.goto('/');
  await audit(page, 'the dashboard, dark by choice');
  await screenshot(page, 'dashboard-dark-by-choice');
});

test('another account at the provider is a question, and nothing is changed before it is answered', async () => {
  await it.goto('/grants');
  await page.locator('tbody th a').first().click();
  const [id] = /grt_\w+/.exec(page.url());
  const [pinned, subject] = it.demo.sql(`SELECT identity, subject FROM grants WHERE id = '${id}'`).trim().split('|');
  const pin = (name, sub) => it.demo.sql(`UPDATE grants SET identity = '${name}', subject = '${sub}' WHERE id = '${id}'`);
  pin('somebody.else@sandbox.test', 'somebody else');
  try {
    await page.getByRole('button', { name: 'Reconnect' }).click();
    await allow(page);
    await page.getByRole('heading', { name: 'Another account has consented', level: 1 }).waitFor();
    await page.getByText('somebody.else@sandbox.test').first().waitFor();
    await inspect('grant-identity');
  } finally {
    pin(pinned, subject);
  }
});

test('a consent takes somebody back to the grant it was for', async () => {
  await it.goto('/grants');
  await page.locator('tbody th a').first().click();
  const grant = page.url();
  await page.getByRole('button', { name: 'Reconnect' }).click();
  await allow(page);
  await page.getByText(/is connected/).waitFor();
  assert.equal(page.url(), grant);
});
