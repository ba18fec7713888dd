// Everything that matters works with JavaScript off.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { screenshot } from './browser.mjs';
import { allow, openDemo } from './demo.mjs';
import { eventually } from './mailgrant.mjs';

let it;
let page;

before(async () => {
  it = await openDemo({ javaScriptEnabled: false });
  page = it.page;
});

after(async () => {
  await it?.close();
});

/** The text beside a field that says what is wrong with it. */
const wrong = (field) => page.locator(`#${field}-error`);

test('the link signs in, and buttons that need a script are not shown', async () => {
  await page.getByRole('heading', { name: 'Dashboard' }).waitFor();
  await it.goto('/connect/google');
  assert.equal(await page.getByRole('button', { name: 'Copy' }).count(), 0);
  assert.equal(await page.locator('[data-google-json]').isVisible(), false);
  await page.getByText('Paste the file\'s content instead').click();
  await page.getByLabel('Google\'s client JSON').waitFor();
});

test('the demo mailbox is connected, and the test shows its end after a look at the latest steps', async () => {
  await it.goto('/');
  await page.getByRole('button', { name: 'Connect the demo mailbox' }).click();
  await allow(page);
  await page.waitForURL(/\/tests\//);
  await eventually('the test has ended well', async () => {
    const latest = page.getByRole('link', { name: 'Show the latest steps' });
    if (await latest.count() > 0) await latest.click();
    return await page.locator('[data-test-state] .mg-tone-ok').count() > 0;
  });
});

test('tickets are listed, searched and read', async () => {
  await eventually('tickets are there', async () => {
    await it.goto('/tickets');
    return await page.locator('tbody tr').count() >= 6;
  });
  await page.getByRole('searchbox', { name: 'Search' }).fill('invoice');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByRole('link', { name: /The invoice shows/ }).first().click();
  await page.getByText('Show what was quoted').first().click();
  await page.locator('.mg-quoted').first().waitFor();
  await screenshot(page, 'ticket-without-script');
});

test('an integration is made after its mistakes were said beside their fields', async () => {
  await it.goto('/integrations');
  await page.getByRole('link', { name: 'New integration' }).click();
  await page.getByRole('navigation', { name: 'Provider' }).getByRole('link', { name: 'Custom' }).click();
  await page.getByLabel('Name', { exact: true }).fill('Sandbox');
  await page.getByLabel('Client ID').fill('made-up');
  await page.getByLabel('Scopes').fill('imap');
  await page.getByLabel('Authorization endpoint').fill('http://provider.example/authorize');
  await page.getByLabel('Token endpoint').fill('https://127.0.0.1/token');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await wrong('name').getByText('Another integration has this name').waitFor();
  await wrong('authorization_endpoint').waitFor();
  assert.equal(await page.getByLabel('Client ID').inputValue(), 'made-up', 'what was typed stays');
  await page.getByRole('link', { name: /Another integration has this name/ }).waitFor();
  await screenshot(page, 'integration-errors');
  await page.getByLabel('Name', { exact: true }).fill('By hand');
  await page.getByLabel(/^Client secret/).fill('a secret');
  await page.getByLabel('Authorization endpoint').fill('https://127.0.0.1/authorize');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('heading', { name: 'By hand', level: 1 }).waitFor();
  assert.doesNotMatch(await page.content(), /a secret/);
});

test('a project is made after its mistakes were said beside their fields', async () => {
  await it.goto('/projects/new');
  await page.getByLabel('Key').fill('no spaces');
  await page.getByRole('button', { name: 'Save' }).click();
  await wrong('key').waitFor();
  await wrong('name').waitFor();
  await page.getByLabel('Key').fill('HELP');
  await page.getByLabel('Name', { exact: true }).fill('Second');
  await page.getByRole('button', { name: 'Save' }).click();
  await wrong('key').waitFor();
  await page.getByLabel('Key').fill('SECOND');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { name: 'Second', level: 1 }).waitFor();
});

test('a mailbox’s mistakes are said beside their fields, and its folders are asked for', async () => {
  await it.goto('/mailboxes');
  await page.getByRole('link', { name: 'From a grant you have' }).click();
  await page.getByLabel('Name', { exact: true }).fill('');
  await page.locator('#host').fill('no-such-host.invalid');
  await page.locator('#port').fill('70000');
  await page.getByRole('textbox', { name: 'Schedule' }).fill('0 0 0 30 2 *');
  await page.getByLabel('Move it to another folder').check();
  await page.getByRole('button', { name: 'Save', exact: true }).last().click();
  for (const field of ['name', 'port', 'schedule', 'move_to']) await wrong(field).waitFor();
  await screenshot(page, 'mailbox-errors');
});

test('a webhook is made, its deliveries are read by loading again, and the log page by page', async () => {
  await it.goto('/webhooks/new');
  await page.getByLabel('Address', { exact: true }).fill('http://127.0.0.1:9/hook');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Shown only now').waitFor();
  await page.getByRole('link', { name: 'I have copied it' }).click();
  // The answer first: to load again while the form is on its way is to load nothing.
  const pinged = page.waitForEvent('load');
  await page.getByRole('button', { name: 'Ping', exact: true }).first().click();
  await pinged;
  await eventually('the failed attempt is shown', async () => {
    await page.reload();
    return await page.getByText('The receiver was not reached.').count() > 0;
  });
  await it.goto('/events?type=test.ping');
  assert.equal(await page.locator('tbody tr').count(), 1);
  assert.equal(await page.getByText('Live: new events').isVisible(), false);
  await page.getByRole('link', { name: 'test.ping' }).click();
  await page.getByText('As apps get it').waitFor();
});

test('signing out and opening a page leads to the sign-in, which says what is wrong', async () => {
  await it.goto('/');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await it.goto('/grants');
  await page.getByLabel('E-mail address').fill('admin@demo.example');
  await page.getByLabel('Password').fill('a guess');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor();
  assert.equal(new URL(page.url()).pathname, '/sign-in');
});
