// A fresh machine: the set-up link, signing in, the pages while they are empty, and the wizard for Google.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { audit, fitsItsWidth, nothingIsCut, openBrowser, screenshot } from './browser.mjs';
import { startMailgrant } from './mailgrant.mjs';

const ADMIN = { email: 'ada@example.org', name: 'Ada Admin', password: 'a few plain words' };
const GOOGLE = 'https://accounts.google.com/';

let service;
let browser;
let page;
const goto = (path) => page.goto(new URL(path, service.baseUrl).href);
const path = () => new URL(page.url()).pathname;

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

async function signIn(password) {
  await page.getByLabel('E-mail address').fill(ADMIN.email);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

before(async () => {
  service = await startMailgrant({ command: ['serve'] });
  browser = await openBrowser();
  page = browser.page;
  page.setDefaultTimeout(20_000);
});

beforeEach(() => {
  browser.problems.length = 0;
});

after(async () => {
  await browser?.close();
  await service?.stop();
});

test('without an account, every page leads to the set-up, which wants the link', async () => {
  await goto('/');
  assert.equal(path(), '/setup');
  await page.getByText('printed where Mailgrant was started').waitFor();
  await inspect('setup-without-link');
});

test('the set-up says beside the field what is wrong, and makes nothing', async () => {
  await page.goto(service.link);
  await inspect('setup');
  await page.getByLabel('E-mail address').fill(ADMIN.email);
  await page.getByLabel('Your name').fill(ADMIN.name);
  await page.getByLabel('Password').fill('short');
  await page.getByRole('button', { name: 'Create the account' }).click();
  await page.locator('#password-error').waitFor();
  assert.equal(await page.getByLabel('E-mail address').inputValue(), ADMIN.email, 'what was typed stays');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'errors', 'the list of mistakes has the focus');
  await inspect('setup-errors');
});

test('the set-up link makes the administrator, who is signed in at once; it works once', async () => {
  await page.goto(service.link);
  await page.getByLabel('E-mail address').fill(ADMIN.email);
  await page.getByLabel('Your name').fill(ADMIN.name);
  await page.getByLabel('Password').fill(ADMIN.password);
  await page.getByRole('button', { name: 'Create the account' }).click();
  await page.getByRole('heading', { name: 'Connect your first mailbox' }).waitFor();
  const again = await page.goto(service.link);
  assert.ok(again.status() >= 400, `${again.status()}`);
  await page.getByRole('heading', { name: 'Mailgrant is set up already' }).waitFor();
  await inspect('setup-second-use');
});

test('signing out asks for the password again; a wrong one is said, the right one signs in', async () => {
  await goto('/');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await goto('/tickets');
  assert.equal(path(), '/sign-in');
  await inspect('sign-in');
  await signIn('not my password');
  await page.getByText(/password.*wrong|wrong.*password/i).first().waitFor();
  assert.equal(await page.getByLabel('Password').inputValue(), '', 'the password is not sent back');
  await inspect('sign-in-wrong');
  await signIn(ADMIN.password);
  await page.getByRole('heading', { name: 'Tickets', level: 1 }).waitFor();
  assert.equal(path(), '/tickets', 'on to the page that was asked for');
});

for (const name of ['dashboard', 'tickets', 'mailboxes', 'projects', 'grants', 'integrations', 'settings', 'connect']) {
  test(`while nothing is there, the page says what to do: ${name}`, async () => {
    await goto(name === 'dashboard' ? '/' : `/${name}`);
    if (name !== 'settings') assert.ok(await page.locator('main').getByRole('link').count() > 0, 'a way on');
    await inspect(`empty-${name}`);
    assert.deepEqual(browser.problems, []);
  });
}

test('the keyboard: the first stop skips to the content, and the focus is always seen', async () => {
  await goto('/');
  await page.keyboard.press('Tab');
  const skip = page.getByRole('link', { name: 'Skip to the content' });
  assert.ok(await skip.evaluate((link) => link === document.activeElement && link.getBoundingClientRect().top >= 0));
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  const seen = new Set();
  await goto('/connect/google');
  for (let stop = 0; stop < 60; stop += 1) {
    await page.keyboard.press('Tab');
    const { name, outlined } = await page.evaluate(() => {
      const { activeElement } = document;
      const style = getComputedStyle(activeElement);
      return {
        name: activeElement.id || activeElement.textContent.trim(),
        outlined: activeElement === document.body || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2),
      };
    });
    assert.ok(outlined, `the focus on “${name}” is seen`);
    seen.add(name);
  }
  for (const name of ['client_id', 'client_secret', 'Save and connect']) assert.ok(seen.has(name), `${name} is reached`);
});

/** A hand that counts. */
function hand() {
  const count = { clicks: 0, typed: 0 };
  return {
    count,
    async click(locator) {
      count.clicks += 1;
      await locator.click();
    },
    async type(label, text) {
      count.typed += 1;
      // By mouse, as most do, so that reaching the field counts.
      await this.click(page.getByLabel(label, { exact: true }));
      await page.keyboard.type(text);
    },
  };
}

/** What Google is asked, once the browser gets there. */
async function leaveForGoogle(press) {
  const asked = page.waitForRequest((request) => request.url().startsWith(GOOGLE));
  await press();
  const url = new URL((await asked).url());
  await page.getByText('Google was reached').waitFor();
  return url;
}

function assertAsksRightly(url, { clientId, redirectUrl }) {
  const query = Object.fromEntries(url.searchParams);
  assert.equal(query.response_type, 'code');
  assert.equal(query.client_id, clientId);
  assert.equal(query.redirect_uri, redirectUrl, 'the redirect URL that was shown');
  assert.ok(query.scope.split(' ').includes('https://mail.google.com/'), query.scope);
  assert.equal(query.access_type, 'offline');
  assert.equal(query.prompt, 'consent');
  assert.equal(query.code_challenge_method, 'S256');
  assert.match(query.code_challenge, /^[\w-]{43}$/);
  assert.ok(query.state.length >= 43, 'at least 256 bits');
  assert.equal(query.client_secret, undefined);
}

async function standInForGoogle() {
  await browser.context.route(`${GOOGLE}**`, (route) => route.fulfill({
    contentType: 'text/html', body: '<!doctype html><title>Google</title><p>Google was reached</p>',
  }));
}

test('from the dashboard to Google’s consent: at most 5 clicks and 2 typed fields', async () => {
  await standInForGoogle();
  await goto('/');
  const { click, type, count } = hand();
  await click(page.getByRole('main').getByRole('link', { name: 'Connect a mailbox' }));
  await click(page.getByRole('link', { name: /^Google/ }));
  const redirectUrl = await page.getByLabel('Redirect URL', { exact: true }).inputValue();
  await inspect('connect-google');
  const hands = { click, type, count };
  await hands.type('Client ID', '1234-abc.apps.googleusercontent.com');
  await hands.type('Client secret', 'GOCSPX-made-up');
  const url = await leaveForGoogle(() => click(page.getByRole('button', { name: 'Save and connect' })));
  assertAsksRightly(url, { clientId: '1234-abc.apps.googleusercontent.com', redirectUrl });
  console.log(`connecting a Google mailbox: ${count.clicks} clicks (two of them into fields), ${count.typed} typed fields`);
  assert.ok(count.clicks <= 5, `${count.clicks} clicks`);
  assert.ok(count.typed <= 2, `${count.typed} typed fields`);
});

test('with the file of Google’s console nothing is typed at all', async () => {
  await standInForGoogle();
  await goto('/');
  const { click, count } = hand();
  await click(page.getByRole('main').getByRole('link', { name: 'Connect a mailbox' }));
  await click(page.getByRole('link', { name: /^Google/ }).last());
  const redirectUrl = await page.getByLabel('Redirect URL', { exact: true }).inputValue();
  const client = (uris) => ({
    name: 'client_secret.json',
    mimeType: 'application/json',
    buffer: Buffer.from(JSON.stringify({
      web: { client_id: '99-file.apps.googleusercontent.com', client_secret: 'GOCSPX-from-file', redirect_uris: uris },
    })),
  });
  const file = page.getByLabel('Drop Google\'s JSON file here');
  await file.setInputFiles({ name: 'x.json', mimeType: 'application/json', buffer: Buffer.from('{') });
  await page.getByText('That file is not JSON').waitFor();
  await file.setInputFiles(client([]));
  await page.getByText('does not list our redirect URL yet').waitFor();
  count.clicks += 1;
  await file.setInputFiles(client([redirectUrl]));
  await page.getByText('Our redirect URL is registered').waitFor();
  const url = await leaveForGoogle(() => click(page.getByRole('button', { name: 'Save and connect' })));
  assertAsksRightly(url, { clientId: '99-file.apps.googleusercontent.com', redirectUrl });
  assert.ok(count.clicks <= 5, `${count.clicks} clicks`);
  assert.equal(count.typed, 0);
});

test('the wizard says beside the field what is missing, for Google and for Microsoft', async () => {
  for (const provider of ['google', 'microsoft']) {
    await goto(`/connect/${provider}`);
    await page.getByRole('button', { name: 'Save and connect' }).click();
    await page.locator('#client_id-error').waitFor();
    await page.locator('#client_secret-error').waitFor();
    await inspect(`connect-${provider}-errors`);
  }
});
