// Two Mailgrants, each a site of its own for the browser: people sign in at one with their account of the other, and sign
// out on both sides, in real frames.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { audit, openBrowser, screenshot } from './browser.mjs';
import { eventually, restOf, startMailgrant } from './mailgrant.mjs';

const ADA = { email: 'ada@example.org', name: 'Ada Admin', password: 'a few plain words' };
const LOOPBACK = { MAILGRANT_ALLOW_NETWORKS: '127.0.0.0/8,::1/128' };

/** The provider, and the one that people come to. */
let office;
let branch;
let browser;
let page;
let provider;

const at = ({ baseUrl }, path) => new URL(path, baseUrl).href;

/** Whether the browser is signed in there. */
async function isSignedIn(service) {
  await page.goto(at(service, '/profile'));
  return new URL(page.url()).pathname === '/profile';
}

/** The provider's own form, if it asks. */
async function atOffice() {
  await page.getByLabel('E-mail address').fill(ADA.email);
  await page.getByLabel('Password').fill(ADA.password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

async function signIn() {
  await page.goto(at(branch, '/sign-in'));
  await page.getByRole('link', { name: 'Sign in with Head office' }).click();
  await page.waitForURL(`${office.baseUrl}/**`);
  await atOffice();
  await page.waitForURL(at(branch, '/'));
}

before(async () => {
  [office, branch] = await Promise.all([
    startMailgrant({ command: ['serve'], host: 'localhost' }),
    startMailgrant({ command: ['serve'], env: LOOPBACK }),
  ]);
  office.run(['user', 'create', '--email', ADA.email, '--name', ADA.name], ADA.password);
  branch.run(['user', 'create', '--email', 'root@example.org', '--name', 'Root'], 'correct horse battery');
  const [atOffices, atBranch] = [restOf(office), restOf(branch)];
  provider = await atBranch('POST', 'identity-providers', {
    name: 'Head office', preset: 'mailgrant', issuer: office.baseUrl, clientId: 'not-yet', clientSecret: 'not-yet', trustEmail: true,
  });
  const { register } = provider;
  const client = await atOffices('POST', 'clients', {
    name: 'Branch', redirectUris: [register.redirectUrl], scopes: ['openid', 'profile', 'email'], autoGrant: true,
    grantTypes: ['authorization_code'], frontchannelLogoutUri: register.frontchannelLogoutUrl,
    frontchannelLogoutSessionRequired: true, postLogoutRedirectUris: [register.postLogoutRedirectUrl],
  });
  const path = `identity-providers/${provider.id}`;
  await atBranch('PATCH', path, { clientId: client.clientId, clientSecret: client.clientSecret });
  const { testUrl } = await atBranch('POST', `${path}/tests`, {});
  browser = await openBrowser();
  page = browser.page;
  page.setDefaultTimeout(20_000);
  await page.goto(testUrl);
  await atOffice();
  await page.getByRole('heading', { name: 'The test passed' }).waitFor();
  await atBranch('POST', `${path}/enable`, {});
  await page.context().clearCookies();
});

after(async () => {
  await browser?.close();
  await Promise.all([office?.stop(), branch?.stop()]);
});

test('somebody comes in with their account of the other, and signing out there ends the session here, in a frame', async () => {
  await signIn();
  assert.ok(await isSignedIn(branch));
  assert.ok(await isSignedIn(office));
  browser.problems.splice(0);
  const framed = page.waitForRequest((request) => request.url().startsWith(provider.register.frontchannelLogoutUrl));
  await page.getByRole('button', { name: 'Sign out' }).first().click();
  const request = await framed;
  assert.equal((await request.allHeaders()).cookie, undefined, 'the frame of another site brings no cookie of ours');
  assert.equal((await (await request.response()).status()), 200);
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
  await page.getByText('Branch').waitFor();
  await page.frameLocator('iframe').getByText('Signed out.').waitFor({ state: 'attached' });
  await audit(page, 'signed out, with a frame');
  await screenshot(page, 'two-sites-signed-out');
  assert.deepEqual(browser.problems, [], 'no policy of either blocked the frame');
  assert.equal(await isSignedIn(branch), false);
});

test('signing out here goes on to the provider, which ends its own session and sends the browser back', async () => {
  await page.context().clearCookies();
  await signIn();
  browser.problems.splice(0);
  await page.getByRole('button', { name: 'Sign out' }).first().click();
  await page.waitForURL(`${office.baseUrl}/oauth2/logout**`);
  await page.waitForURL(at(branch, '/sign-in'));
  assert.deepEqual(browser.problems, []);
  assert.equal(await isSignedIn(office), false);
  assert.equal(await isSignedIn(branch), false);
});

test('a page of somebody else cannot show the frame, and knows no session to end', async () => {
  await page.context().clearCookies();
  await signIn();
  const query = new URLSearchParams({ iss: office.baseUrl, sid: 'a guess' });
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end(`<!doctype html><title>Elsewhere</title><iframe src="${provider.register.frontchannelLogoutUrl}?${query}"></iframe>`);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    browser.problems.splice(0);
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await eventually('the browser refuses it', () => /frame-ancestors/.test(browser.problems.join('\n')));
    assert.ok(await isSignedIn(branch));
  } finally {
    server.close();
  }
});
