// Pages that no other test comes by: questions before something is removed, forms of what is there, links that go by mail.
// `audited.mjs` says which page is missing.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { audit, fitsItsWidth, nothingIsCut, openBrowser, screenshot } from './browser.mjs';
import { eventually, restOf, startMailgrant } from './mailgrant.mjs';

const ADMIN = { email: 'ada@example.org', name: 'Ada Admin', password: 'a few plain words' };
/** Nobody is there; nothing is sent either. */
const ELSEWHERE = 'https://93.184.216.34';

let service;
let browser;
let page;
let mails;
const ids = {};

/** A mail server that takes everything: `{ port, texts, close() }`. */
async function mailServer() {
  const texts = [];
  const server = createServer((socket) => {
    let unread = '';
    let mail;
    const say = (line) => socket.write(`${line}\r\n`);
    socket.on('error', () => {});
    say('220 sink ESMTP');
    socket.on('data', (bytes) => {
      unread += bytes;
      for (let end = unread.indexOf('\r\n'); end >= 0; end = unread.indexOf('\r\n')) {
        const line = unread.slice(0, end);
        unread = unread.slice(end + 2);
        if (mail !== undefined) {
          if (line !== '.') {
            mail += `${line}\r\n`;
          } else {
            texts.push(mail.replaceAll('=\r\n', '').replaceAll('=3D', '='));
            mail = undefined;
            say('250 taken');
          }
        } else if (/^DATA/i.test(line)) {
          mail = '';
          say('354 go on');
        } else if (/^QUIT/i.test(line)) {
          say('221 bye');
        } else {
          say('250 ok');
        }
      }
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: server.address().port, texts, close: () => server.close() };
}

/** Both widths, both colour schemes. */
async function inspect(name) {
  for (const [width, height] of [[1280, 800], [320, 640]]) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await audit(page, `${name} (${width} px, ${colorScheme})`);
      await fitsItsWidth(page, name);
      await nothingIsCut(page, name);
      await screenshot(page, `${name}-${width}-${colorScheme}`);
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.emulateMedia({ colorScheme: 'light' });
  assert.deepEqual(browser.problems.splice(0), [], name);
}

async function open(path) {
  const answer = await page.goto(new URL(path, service.baseUrl).href);
  assert.equal(answer.status(), 200, path);
  assert.equal(new URL(page.url()).pathname, path.replace(/\?.*/, ''), 'and nowhere else');
}

before(async () => {
  mails = await mailServer();
  service = await startMailgrant({
    command: ['serve'],
    env: {
      MAILGRANT_SMTP_HOST: '127.0.0.1', MAILGRANT_SMTP_PORT: String(mails.port), MAILGRANT_SMTP_TLS: 'none',
      MAILGRANT_SMTP_FROM: 'mailgrant@example.org', MAILGRANT_ALLOW_NETWORKS: '127.0.0.0/8',
    },
  });
  browser = await openBrowser();
  page = browser.page;
  page.setDefaultTimeout(20_000);
  await page.goto(service.link);
  await page.getByLabel('E-mail address').fill(ADMIN.email);
  await page.getByLabel('Your name').fill(ADMIN.name);
  await page.getByLabel('Password').fill(ADMIN.password);
  await page.getByRole('button', { name: 'Create the account' }).click();
  await page.getByRole('heading', { name: 'Connect your first mailbox' }).waitFor();
  const rest = restOf(service);
  const make = (kind, body) => rest('POST', kind, body);
  const project = await make('projects', { key: 'HELP', name: 'Help desk' });
  ids.client = (await make('clients', {
    name: 'Importer', scopes: ['tickets:read'], grantTypes: ['client_credentials'],
  })).id;
  ids.rule = (await make('rules', { projectId: project.id, name: 'Newsletters', actions: { labels: ['news'] } })).id;
  ids.webhook = (await make('webhooks', { url: `${ELSEWHERE}/hook`, payload: 'thin' })).id;
  ids.queue = (await make('queues', { name: 'desk' })).id;
  ids.provider = (await make('identity-providers', {
    name: 'Company', issuer: ELSEWHERE, discovery: false, clientId: 'mailgrant', clientSecret: 'a-secret',
    authorizationEndpoint: `${ELSEWHERE}/authorize`, tokenEndpoint: `${ELSEWHERE}/token`, jwksUri: `${ELSEWHERE}/keys`,
  })).id;
  ids.issuer = (await make('trusted-issuers', {
    name: 'Company', issuer: ELSEWHERE, uses: ['api'], keySource: 'introspection', tokenPrefix: 'opq_',
    introspectionEndpoint: `${ELSEWHERE}/introspect`, introspectionClientId: 'mailgrant', secret: 'a-secret-of-some-length',
    audiences: ['mailgrant'], subjectMapping: 'service', serviceClientId: ids.client,
  })).id;
  const first = await make('tickets', { projectId: project.id, subject: 'The door does not open' });
  const second = await make('tickets', { projectId: project.id, subject: 'It is about the door again' });
  Object.assign(ids, { ticket: second.key, into: first.key });
});

after(async () => {
  await browser?.close();
  await service?.stop();
  mails?.close();
});

for (const [name, path] of Object.entries({
  'client-edit': () => `/clients/${ids.client}/edit`,
  'client-disable': () => `/clients/${ids.client}/disable`,
  'client-revoke': () => `/clients/${ids.client}/revoke`,
  'client-delete': () => `/clients/${ids.client}/delete`,
  rule: () => `/rules/${ids.rule}`,
  'rule-delete': () => `/rules/${ids.rule}/delete`,
  'webhook-edit': () => `/webhooks/${ids.webhook}/edit`,
  'webhook-delete': () => `/webhooks/${ids.webhook}/delete`,
  'queue-edit': () => `/queues/${ids.queue}/edit`,
  'identity-provider-new': () => '/identity-providers/new',
  'identity-provider-edit': () => `/identity-providers/${ids.provider}/edit`,
  'identity-provider-delete': () => `/identity-providers/${ids.provider}/delete`,
  'trusted-issuer': () => `/trusted-issuers/${ids.issuer}`,
  'trusted-issuers-one': () => '/trusted-issuers',
  'ticket-merge': () => `/tickets/${ids.ticket}/merge?into=${ids.into}`,
  apps: () => '/settings/apps',
  'second-factor-off': () => '/profile/second-factor/remove',
  'ask-sign-out': () => '/oauth2/logout',
})) {
  test(`accessible at both widths and in both colour schemes: ${name}`, async () => {
    await open(path());
    await inspect(name);
  });
}

test('another address of one’s own is confirmed on the page that its link opens', async () => {
  await open('/profile');
  const form = page.locator('form[action$="/profile/email"]');
  await page.locator('details').evaluateAll((all) => { for (const one of all) one.open = true; });
  await form.locator('[name=email]').fill('countess@example.org');
  await form.locator('[name=email_password]').fill(ADMIN.password);
  await form.getByRole('button').click();
  const link = await eventually('the link is mailed', () =>
    mails.texts.map((text) => /http:\/\/\S+\/confirm-email\?token=[\w-]+/.exec(text)?.[0]).find(Boolean));
  await page.goto(link);
  await page.getByText('countess@example.org').first().waitFor();
  await inspect('confirm-email');
  await page.getByRole('button', { name: 'Yes, it is my address' }).click();
  await page.getByRole('heading', { name: 'Your address is changed' }).waitFor();
  await inspect('confirm-email-done');
});
