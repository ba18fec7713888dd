// The demo as a newcomer meets it: connect, read tickets, break things, see them found and mended.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { audit, fitsItsWidth, screenshot } from './browser.mjs';
import { allow, appears, breakIt, connectDemoMailbox, openDemo } from './demo.mjs';
import { eventually } from './mailgrant.mjs';

let it;
let page;
const badge = () => page.locator('[data-test-state] .mg-badge');

/** The tickets that are there, counted by the pages of the list. */
async function tickets() {
  const keys = [];
  for (let next = '/tickets'; next;) {
    await it.goto(next);
    keys.push(...await page.locator('tbody th a').evaluateAll((links) => links.map((link) => link.getAttribute('href'))));
    next = await page.locator('a[rel=next]').getAttribute('href', { timeout: 1 }).catch(() => null);
  }
  return keys;
}

/** Finds a ticket by its subject and opens it. */
async function openTicket(subject) {
  await it.goto(`/tickets?q=${encodeURIComponent(subject)}`);
  await page.locator('tbody th a').first().click();
  await page.locator('article.mg-entry').first().waitFor();
}

before(async () => {
  it = await openDemo({ acceptDownloads: true });
  page = it.page;
});

after(async () => {
  await it?.close();
});

test('the one-time link signs in, and the first page offers to connect the demo mailbox', async () => {
  assert.equal(new URL(page.url()).pathname, '/');
  await page.getByRole('heading', { name: 'Dashboard' }).waitFor();
  await page.getByRole('button', { name: 'Connect the demo mailbox' }).waitFor();
  await audit(page);
  await screenshot(page, 'demo-first-page');
});

test('connecting leads over the consent page to a test that ends green, with nothing more to press', async () => {
  await page.getByRole('button', { name: 'Connect the demo mailbox' }).click();
  await page.getByRole('heading', { name: 'Mailgrant wants access' }).waitFor();
  assert.notEqual(new URL(page.url()).origin, it.demo.baseUrl, 'the consent page is the provider\'s');
  await page.getByText('Sandbox provider · only on this machine').waitFor();
  await audit(page, 'the consent page');
  await screenshot(page, 'demo-consent');
  await allow(page);
  await page.waitForURL(/\/tests\//);
  await page.locator('[data-test-state] .mg-tone-ok').waitFor();
  const steps = await page.locator('[data-test-steps] > li').evaluateAll((items) => items.map((item) => item.dataset.step));
  for (const step of ['dns', 'tcp', 'tls', 'greeting', 'capability', 'token', 'authenticate', 'folder', 'newest message']) {
    assert.ok(steps.includes(step), `${step} is one of ${steps}`);
  }
  assert.equal(await page.locator('[data-test-steps] > .mg-tone-fail').count(), 0);
  await audit(page);
  await screenshot(page, 'test-green');
});

test('tickets appear, and the list finds one by words of its subject', async () => {
  await it.goto('/tickets');
  await eventually('tickets of all sample mails', async () => {
    await page.reload();
    return await page.locator('tbody tr').count() >= 6;
  });
  await page.getByRole('searchbox', { name: 'Search' }).fill('list and the photo');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.waitForURL(/q=list/);
  const found = await page.locator('tbody tr').allInnerTexts();
  assert.ok(found.length > 0);
  for (const row of found) assert.match(row, /The list and the photo/);
});

test('a reply joins the ticket it answers, and what it quotes is folded away', async () => {
  await openTicket('The invoice shows');
  const reply = page.locator('article.mg-entry').nth(1);
  await reply.getByText('it also happens on my other computer').waitFor();
  assert.equal(await reply.getByText('still has the address we left').isVisible(), false, 'the quote is folded');
  await reply.getByText('Show what was quoted').click();
  await reply.locator('.mg-quoted').getByText('still has the address we left').waitFor();
  await audit(page);
  await screenshot(page, 'ticket-reply');
});

test('HTML mail is shown in a sandboxed frame that runs nothing and asks no other host', async () => {
  it.browser.problems.length = 0;
  await openTicket('Wrong logo');
  await page.getByText('Show HTML').first().click();
  const frame = page.frameLocator('iframe.mg-frame').first();
  await frame.getByText('Please swap it').waitFor();
  assert.equal(await page.locator('iframe.mg-frame').first().getAttribute('sandbox'), '');
  assert.equal(await frame.locator('script').count(), 0);
  assert.equal(await frame.locator('[onclick]').count(), 0);
  assert.equal(await frame.locator('img[src^="http"]').count(), 0, 'the remote picture is not there to be asked for');
  assert.doesNotMatch(await page.title(), /never run/);
  assert.deepEqual(it.browser.problems, []);
  await audit(page);
  await screenshot(page, 'ticket-html');
});

test('a picture that a mail encloses is shown in its frame, with no cookie, and none from elsewhere is', async () => {
  it.browser.problems.length = 0;
  await openTicket('The list and the photo');
  const asked = [];
  page.on('request', (request) => asked.push(request));
  await page.getByText('Show HTML').first().click();
  const picture = page.frameLocator('iframe').locator('img');
  await eventually('the picture is there', () => picture.evaluate((img) => img.complete && img.naturalWidth === 96));
  await screenshot(page, 'enclosed-picture');
  assert.deepEqual(it.browser.problems, []);
  const pictures = asked.filter((request) => request.url().includes('/pictures/'));
  assert.equal(pictures.length, 1);
  assert.equal((await pictures[0].allHeaders()).cookie, undefined);
  // The signed address is all it needs, and it is nothing but a picture.
  const alone = await fetch(pictures[0].url());
  assert.equal(alone.status, 200);
  assert.equal(alone.headers.get('content-type'), 'image/png');
  assert.equal((await fetch(pictures[0].url().replace('image/png', 'image/gif'))).status, 403);
});

test('attachments and the raw mail are downloaded, never opened', async () => {
  await openTicket('The list and the photo');
  const answers = [];
  page.on('response', (response) => {
    if (/\/messages\//.test(response.url())) answers.push(response.headers()['content-disposition'] ?? 'none');
  });
  const save = async (link) => {
    const [download] = await Promise.all([page.waitForEvent('download'), link.click()]);
    return { name: download.suggestedFilename(), content: await readFile(await download.path(), 'utf8') };
  };
  const list = await save(page.getByRole('link', { name: /Inventário\.csv/ }).first());
  assert.equal(list.name, 'Inventário.csv');
  assert.match(list.content, /^item;count\nchair;/);
  const raw = await save(page.getByRole('link', { name: 'Raw mail' }).first());
  assert.match(raw.name, /\.eml$/);
  assert.match(raw.content, /^From: .*\r\nTo: /);
  // Without `download` on the link as well: the answer itself says so.
  const hrefs = await page.locator('a[download]').evaluateAll((links) => links.map((link) => link.getAttribute('href')));
  for (const href of hrefs) {
    const answer = await page.request.get(new URL(href, it.demo.baseUrl).href);
    assert.match(answer.headers()['content-disposition'], /^attachment/, href);
    assert.equal(answer.headers()['x-content-type-options'], 'nosniff', href);
  }
});

test('an expired token is replaced without anybody', async () => {
  await it.goto('/grants');
  await page.locator('tbody th a').first().click();
  const refreshed = page.locator('.mg-moment').filter({ hasText: 'Refreshed' });
  assert.equal(await refreshed.count(), 0, 'the first token is in use');
  const grant = page.url();
  const count = (await tickets()).length;
  await it.goto('/');
  await breakIt(page, /Expire the token/);
  await page.goto(grant);
  await eventually('the grant was refreshed', async () => {
    await page.reload();
    return await refreshed.count() > 0;
  }, 60_000);
  assert.equal(await page.locator('.mg-problem').count(), 0, 'nobody is asked for anything');
  await eventually('mail comes in', async () => (await tickets()).length > count, 60_000);
  await it.goto('/');
  await page.getByText('Nothing needs you').waitFor();
});

for (const { label, word } of [
  { label: /Cut the connection/, word: 'cut' },
  { label: /Refuse TLS/, word: 'tls' },
]) {
  test(`a broken mail server is on the dashboard within a minute, with cause and remedy, and mends: ${word}`, async () => {
    await it.goto('/');
    await breakIt(page, label);
    await appears(page, 'What to do:');
    const problem = page.locator('#attention .mg-problem').first();
    assert.match(await problem.innerText(), /Demo mailbox/);
    assert.match(await problem.locator('code').innerText(), /^[a-z_]+$/);
    await page.getByText('Broken now').waitFor();
    await audit(page);
    await screenshot(page, `dashboard-broken-${word}`);
    await problem.getByRole('link').or(problem.getByRole('button')).first().click();
    await audit(page);
    await screenshot(page, `mailbox-broken-${word}`);
    await it.goto('/');
    await breakIt(page, /Restore everything/);
    await appears(page, 'Nothing needs you');
  });
}

test('a revoked consent is found within a minute; Reconnect in the pages keeps every ticket and doubles none', async () => {
  const before = await tickets();
  await it.goto('/');
  await breakIt(page, /Revoke the consent/);
  await appears(page, 'invalid_grant');
  const problem = page.locator('#attention .mg-problem').first();
  await problem.getByText('What to do:').waitFor();
  await audit(page);
  await screenshot(page, 'dashboard-revoked');
  // The README's picture, docs/screenshot.png, is a copy of this one.
  await page.setViewportSize({ width: 1200, height: 750 });
  await screenshot(page, 'readme', { fullPage: false });
  await page.setViewportSize({ width: 320, height: 640 });
  await fitsItsWidth(page);
  await page.setViewportSize({ width: 1280, height: 800 });
  await problem.getByRole('button', { name: 'Reconnect' }).click();
  await allow(page);
  await page.getByText(/is connected/).waitFor();
  await audit(page);
  await screenshot(page, 'grant-reconnected');
  await it.goto('/');
  await appears(page, 'Nothing needs you');
  const count = before.length;
  await eventually('mail comes in again', async () => (await tickets()).length > count, 60_000);
  const now = await tickets();
  for (const key of before) assert.ok(now.includes(key), `${key} is still there`);
  await it.goto('/mailboxes');
  assert.equal(await page.locator('tbody tr').count(), 1, 'still one mailbox');
  await page.locator('tbody th a').first().click();
  const uids = (await page.locator('#outcomes tbody th .mg-sub').allInnerTexts()).map((text) => /UID (\d+)/.exec(text)[1]);
  assert.equal(new Set(uids).size, uids.length, 'no mail was read twice');
  await screenshot(page, 'mailbox-connected');
});

test('nothing of all this was blocked, failed in a script, or asked another host', () => {
  assert.deepEqual(it.browser.problems, []);
});
