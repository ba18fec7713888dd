// Pages of the authorization server as a person sees them: a device that is allowed, an application that is refused.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { audit, fitsItsWidth, nothingIsCut, screenshot } from './browser.mjs';
import { openDemo } from './demo.mjs';

let it;
let page;

before(async () => {
  it = await openDemo({ reducedMotion: 'reduce' });
  page = it.page;
});

/** Closed at the very end: the browser asks for the icon of a page when it likes. */
const servers = [];

after(async () => {
  for (const server of servers) server.close();
  await it?.close();
});

async function inspect(name) {
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
}

/** Posts a form as a device does. */
async function ask(path, fields) {
  const answer = await fetch(new URL(path, it.demo.baseUrl), { method: 'POST', body: new URLSearchParams(fields) });
  return answer.json();
}

/** Registers an application on a device by its page, and returns its client id. */
async function register() {
  await it.goto('/clients/new');
  await page.locator('[name=name]').fill('Helpdesk on a television');
  await page.locator('details').evaluateAll((all) => { for (const one of all) one.open = true; });
  await page.locator('[name=application_type][value=native]').check();
  await page.locator('select[name=auth_method]').selectOption('none');
  for (const box of await page.locator('[name=grant_type]').all()) {
    await box.setChecked((await box.getAttribute('value')).endsWith('device_code'));
  }
  for (const scope of ['openid', 'tickets:read']) await page.locator(`[name=scope][value="${scope}"]`).check();
  await page.locator('main form button.btn-primary').first().click();
  const id = page.locator('#client_id[readonly]');
  await id.waitFor();
  return id.inputValue();
}

test('a device shows a code, its person types it, sees who asks and from where, and allows it', async () => {
  const client_id = await register();
  const begun = await ask('/oauth2/device_authorization', { client_id, scope: 'openid tickets:read' });
  await page.goto(begun.verification_uri);
  await page.getByLabel('Code on the device').fill('BCDF-GHJK');
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByText('No device waits with this code').first().waitFor();
  it.browser.problems.splice(0);
  await inspect('device-wrong-code');
  await page.getByLabel('Code on the device').fill(begun.user_code.toLowerCase().replace('-', ''));
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByText('Allow this only if you began it').waitFor();
  const seen = await page.locator('main').innerText();
  for (const word of ['Helpdesk on a television', begun.user_code, '127.0.0.1']) assert.ok(seen.includes(word), `${word}: ${seen}`);
  await inspect('device-consent');
  await page.getByRole('button', { name: 'Allow' }).click();
  await page.getByRole('heading', { name: 'The device is connected' }).waitFor();
  await inspect('device-done');
  const grant_type = 'urn:ietf:params:oauth:grant-type:device_code';
  const given = await ask('/oauth2/token', { client_id, grant_type, device_code: begun.device_code });
  assert.equal(given.token_type, 'Bearer', JSON.stringify(given));
  assert.deepEqual(it.browser.problems.splice(0), []);
});

test('what an older application cannot do without is switched on in words that say what it costs, and stays red', async () => {
  await it.goto('/clients/new');
  await page.locator('[name=name]').fill('Desktop of 2015');
  await page.locator('[name=redirect_uris]').fill('https://desk.example/callback');
  await page.locator('[name=scope][value=openid]').check();
  await page.getByText('Laxer than it should be').click();
  for (const name of ['PKCE with the method plain', 'Access tokens in an address', 'ID tokens at the API']) {
    await page.getByLabel(name).check();
  }
  await inspect('client-laxer');
  await page.getByRole('button', { name: 'Register' }).click();
  await page.locator('#client_id[readonly]').waitFor();
  await it.goto('/clients');
  await page.getByRole('link', { name: 'Desktop of 2015' }).waitFor();
  await inspect('clients-laxer');
  await page.getByRole('link', { name: 'Desktop of 2015' }).click();
  await page.getByText('Tokens end up in histories and in the logs of proxies').waitFor();
  await inspect('client-laxer-detail');
  assert.deepEqual(it.browser.problems.splice(0), []);
});

/** A server of an application, on a port (and so an origin) of its own: its address. */
async function application(answer) {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  servers.push(server);
  return { url: `http://127.0.0.1:${server.address().port}` };
}

test('an answer arrives also where the application sends the browser on to another origin', async () => {
  const home = await application((request, response) => response.end('Welcome'));
  const seen = [];
  const callback = await application((request, response) => {
    seen.push(new URL(request.url, 'http://x').searchParams);
    response.writeHead(302, { location: `${home.url}/welcome` }).end();
  });
  await it.goto('/clients/new');
  await page.locator('[name=name]').fill('Two hosts');
  await page.locator('[name=redirect_uris]').fill(`${callback.url}/cb`);
  await page.locator('[name=scope][value=openid]').check();
  await page.getByRole('button', { name: 'Register' }).click();
  const id = page.locator('#client_id[readonly]');
  await id.waitFor();
  const asked = new URLSearchParams({
    response_type: 'code',
    client_id: await id.inputValue(),
    redirect_uri: `${callback.url}/cb`,
    scope: 'openid',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  });
  for (const [button, name] of [['Refuse', 'error'], ['Allow', 'code']]) {
    await page.goto(new URL(`/oauth2/authorize?${asked}`, it.demo.baseUrl).href);
    await page.getByRole('button', { name: button, exact: true }).click();
    await page.waitForURL(`${home.url}/welcome`);
    assert.ok(seen.pop().get(name), button);
  }
  assert.deepEqual(it.browser.problems.splice(0), []);
});

test('somebody who signs out at an application\'s wish arrives there, also where it sends the browser on to another origin', async () => {
  const home = await application((request, response) => response.end('Goodbye'));
  const bye = await application((request, response) => response.writeHead(302, { location: `${home.url}/goodbye` }).end());
  await it.goto('/clients/new');
  await page.locator('[name=name]').fill('Leaves by two hosts');
  await page.locator('[name=redirect_uris]').fill(`${bye.url}/cb`);
  await page.locator('[name=scope][value=openid]').check();
  await page.getByText('Signing out', { exact: true }).click();
  await page.locator('[name=post_logout_redirect_uris]').fill(`${bye.url}/bye`);
  await page.getByRole('button', { name: 'Register' }).click();
  const id = page.locator('#client_id[readonly]');
  await id.waitFor();
  const wish = new URLSearchParams({ client_id: await id.inputValue(), post_logout_redirect_uri: `${bye.url}/bye` });
  await page.goto(new URL(`/oauth2/logout?${wish}`, it.demo.baseUrl).href);
  await page.getByRole('heading', { name: 'Sign out?' }).waitFor();
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await page.waitForURL(`${home.url}/goodbye`);
  assert.deepEqual(it.browser.problems.splice(0), []);
});
