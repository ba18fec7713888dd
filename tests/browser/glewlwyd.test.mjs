// Signing in with glewlwyd in Chromium, on its own pages, and out again: its page shows ours in a frame.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBrowser, screenshot } from './browser.mjs';
import { ADA, CLIENT, startGlewlwyd } from './glewlwyd.mjs';
import { eventually, restOf, startMailgrant } from './mailgrant.mjs';

let glewlwyd;
let service;
let browser;
let page;
let provider;

const at = (path) => new URL(path, service.baseUrl).href;
const cookie = async () => (await page.context().cookies(service.baseUrl)).find(({ name }) => name === 'mailgrant');

/** Whether the session of this cookie lives. */
async function lives({ name, value }) {
  const answer = await fetch(at('/profile'), { headers: { cookie: `${name}=${value}` }, redirect: 'manual' });
  return answer.status === 200;
}

/** On its pages: who is asked gives name and password, and goes on. */
async function atGlewlwyd() {
  await page.waitForURL(`${glewlwyd.home}/**`);
  const goOn = page.locator('button[title]', { hasText: 'Continue' });
  const form = page.locator('#passwordForm');
  await form.or(goOn).first().waitFor();
  if (await form.isVisible()) {
    await page.locator('#username').fill(ADA.login);
    await page.locator('#password').fill(ADA.password);
    await form.locator('button[type=submit], button.btn-primary').first().click();
  }
  await goOn.click();
  await page.waitForURL(`${service.baseUrl}/**`);
}

async function signIn() {
  await page.goto(at('/sign-in'));
  await page.getByRole('link', { name: 'Sign in with Glewlwyd' }).click();
  await atGlewlwyd();
  assert.equal(page.url(), at('/'));
}

before(async () => {
  [glewlwyd, service] = await Promise.all([
    startGlewlwyd(),
    startMailgrant({ command: ['serve'], env: { MAILGRANT_ALLOW_NETWORKS: '127.0.0.0/8,::1/128' } }),
  ]);
  service.run(['user', 'create', '--email', 'root@example.org', '--name', 'Root'], 'correct horse battery');
  const rest = restOf(service);
  provider = await rest('POST', 'identity-providers', {
    name: 'Glewlwyd', issuer: glewlwyd.issuer, clientId: CLIENT.id, clientSecret: CLIENT.secret, scopes: ['openid'],
    trustEmail: true,
  });
  await glewlwyd.addClient(provider.register);
  browser = await openBrowser();
  page = browser.page;
  page.setDefaultTimeout(20_000);
  const { testUrl } = await rest('POST', `identity-providers/${provider.id}/tests`, {});
  await page.goto(testUrl);
  await atGlewlwyd();
  await page.getByRole('heading', { name: 'The test passed' }).waitFor();
  await rest('POST', `identity-providers/${provider.id}/enable`, {});
});

after(async () => {
  await browser?.close();
  await service?.stop();
  await glewlwyd?.stop();
});

test('somebody who is signed in at glewlwyd comes in, and its page ends every session here in a frame', async () => {
  await signIn();
  const first = await cookie();
  assert.ok(await lives(first));
  // The same person in the same session there, once more: signing out of this one goes on to glewlwyd, and ends the other.
  await page.context().clearCookies({ name: 'mailgrant' });
  await signIn();
  const second = await cookie();
  assert.notEqual(second.value, first.value);
  const framed = page.waitForRequest((request) => request.url().startsWith(provider.register.frontchannelLogoutUrl));
  await page.getByRole('button', { name: 'Sign out' }).first().click();
  await page.waitForURL(`${glewlwyd.home}/login.html**`);
  await screenshot(page, 'glewlwyd-signing-out');
  await page.locator('button.btn-danger', { hasText: 'Logout' }).click();
  const request = await framed;
  assert.notEqual(request.frame(), page.mainFrame());
  assert.equal((await request.allHeaders()).cookie, undefined, 'the frame of another site brings no cookie of ours');
  assert.equal((await request.response()).status(), 200);
  await eventually('the other session here has ended', async () => !await lives(first));
  assert.equal(await lives(second), false);
  assert.deepEqual(browser.problems.filter((problem) => /frame|Content Security/i.test(problem)), []);
});
