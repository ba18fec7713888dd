// Signing in with the company's account, in Chromium: an administrator adds npm's oidc-provider with the form, tests it,
// enables it; somebody signs in with its button and signs out on both sides.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { audit, fitsItsWidth, nothingIsCut, openBrowser, screenshot } from './browser.mjs';
import { eventually, freePort, startMailgrant } from './mailgrant.mjs';

const SCRIPT = fileURLToPath(new URL('../services/oidc-provider.mjs', import.meta.url));
const ADMIN = { email: 'ada@example.org', name: 'Ada Admin', password: 'a few plain words' };

let service;
let browser;
let page;
let provider;
const port = await freePort();
const issuer = `http://127.0.0.1:${port}`;
const goto = (path) => page.goto(new URL(path, service.baseUrl).href);

/** The provider with these redirect URLs; it forgets everything of before. */
async function startProvider(redirects, logouts = []) {
  if (provider) {
    const ended = new Promise((resolve) => { provider.on('exit', resolve); });
    provider.kill('SIGKILL');
    await ended;
  }
  const settings = {
    port,
    clients: [{
      client_id: 'mailgrant', client_secret: 'secret-of-the-browser', redirect_uris: redirects,
      post_logout_redirect_uris: logouts,
    }],
    people: { 'grace@example.org': { name: 'Grace <b>Hopper</b>', groups: ['helpdesk'] } },
  };
  provider = spawn(process.execPath, [SCRIPT, JSON.stringify(settings)], { stdio: 'ignore' });
  await eventually('the provider answers', async () =>
    (await fetch(`${issuer}/.well-known/openid-configuration`).catch(() => undefined))?.ok);
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
}

/** Fills in the provider's own pages. */
async function atProvider(login) {
  await page.waitForURL(`${issuer}/**`);
  await page.locator('input[name=login]').fill(login);
  await page.locator('input[name=password]').fill('any');
  await page.locator('button[type=submit]').click();
  await page.locator('form[action$="/confirm"] button, button[autofocus], button[type=submit]').first().click();
  await page.waitForURL(`${service.baseUrl}/**`);
}

before(async () => {
  await startProvider(['http://127.0.0.1:1/not-yet']);
  service = await startMailgrant({ command: ['serve'], env: { MAILGRANT_ALLOW_NETWORKS: '127.0.0.0/8' } });
  browser = await openBrowser();
  page = browser.page;
  page.setDefaultTimeout(20_000);
  await page.goto(service.link);
  await page.getByLabel('E-mail address').fill(ADMIN.email);
  await page.getByLabel('Name').fill(ADMIN.name);
  await page.getByLabel('Password').fill(ADMIN.password);
  await page.locator('main form button.btn-primary').click();
  await page.waitForURL(`${service.baseUrl}/`);
});

after(async () => {
  await browser?.close();
  await service?.stop();
  provider?.kill('SIGKILL');
});

test('a wrong issuer is said beside the field, and nothing that was typed is lost', async () => {
  await goto('/identity-providers/new?preset=generic');
  await page.locator('#name').fill('Company account');
  await page.locator('#issuer').fill(`${issuer}/`);
  await page.locator('#client_id').fill('mailgrant');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.locator('#issuer-error').getByText('another issuer').waitFor();
  assert.equal(await page.locator('#client_id').inputValue(), 'mailgrant');
  await inspect('identity-provider-form-errors');
});

test('an administrator adds a provider, tests it, sees the claims, and enables it', async () => {
  await goto('/projects/new');
  await page.locator('#key').fill('HELP');
  await page.locator('#name').fill('Help desk');
  await page.locator('main form button.btn-primary').click();
  await goto('/identity-providers/new?preset=generic');
  await page.locator('#name').fill('Company account');
  await page.locator('#issuer').fill(issuer);
  await page.locator('#client_id').fill('mailgrant');
  await page.locator('#client_secret').fill('secret-of-the-browser');
  await page.locator('#groups_claim').fill('groups');
  await page.locator('#group_rules').fill('helpdesk = agent in HELP');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { name: 'Register at the provider' }).waitFor();
  const redirect = await page.locator('#register_1').inputValue();
  await startProvider([redirect], [await page.locator('#register_2').inputValue()]);
  await inspect('identity-provider-untested');
  await page.locator('#groups').fill('helpdesk');
  await page.getByRole('button', { name: 'Show what they give' }).click();
  await page.getByText('none → Agent').waitFor();

  await page.getByRole('button', { name: 'Test sign-in' }).click();
  await atProvider('grace@example.org');
  await page.getByText('would get a new account').waitFor();
  await page.getByText('Grace <b>Hopper</b>').first().waitFor();
  await page.getByText('none → Agent').waitFor();
  await inspect('identity-provider-test');
  await page.getByRole('button', { name: 'Enable it' }).click();
  await page.getByText('Its button is on the sign-in page now').waitFor();
  await inspect('identity-provider-enabled');
  await goto('/identity-providers');
  await inspect('identity-providers');
});

test('somebody signs in with the button, and signs out on both sides', async () => {
  await page.context().clearCookies();
  await goto('/tickets');
  await page.getByRole('link', { name: 'Sign in with Company account' }).waitFor();
  await inspect('sign-in-with-providers');
  await page.getByRole('link', { name: 'Sign in with Company account' }).click();
  await atProvider('grace@example.org');
  assert.equal(new URL(page.url()).pathname, '/tickets');
  await page.getByRole('button', { name: 'Sign out' }).first().click();
  await page.waitForURL(`${issuer}/session/end**`);
  await page.locator('button[value=yes], button[name=logout]').first().click();
  await page.waitForURL(`${service.baseUrl}/sign-in**`);
  await goto('/tickets');
  await page.getByRole('link', { name: 'Sign in with Company account' }).waitFor();
});

test('a provider that says no has a page that says so', async () => {
  await page.getByRole('link', { name: 'Sign in with Company account' }).click();
  await page.waitForURL(`${issuer}/**`);
  await page.locator('a[href$="/abort"]').click();
  await page.getByText('did not let you in').waitFor();
  await inspect('sign-in-refused');
  await page.getByRole('link', { name: 'Try again' }).waitFor();
});
