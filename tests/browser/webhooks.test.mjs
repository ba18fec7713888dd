// The life of a webhook at the pages, with a receiver beside it: made, pinged, rotated, failing, sent again. And the
// pages around it: deliveries, events as they happen, queues.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { audit, fitsItsWidth, nothingIsCut, screenshot } from './browser.mjs';
import { openDemo } from './demo.mjs';
import { eventually } from './mailgrant.mjs';

let it;
let page;
let receiver;

/** A receiver that remembers what came and answers with the status it is told. */
async function openReceiver() {
  const seen = [];
  const open = { status: 204, seen };
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    seen.push({ headers: request.headers, body });
    response.writeHead(open.status, { 'content-type': 'text/html' }).end(open.status === 204 ? '' : '<script>alert(1)</script>');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.url = `http://127.0.0.1:${server.address().port}/hook`;
  open.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return open;
}

/** Whether a secret signed a request. */
function isSigned({ headers, body }, secret) {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const text = `${headers['webhook-id']}.${headers['webhook-timestamp']}.`;
  const wanted = `v1,${createHmac('sha256', key).update(text).update(body).digest('base64')}`;
  return headers['webhook-signature'].split(' ').includes(wanted);
}

/** Wide and narrow, light and dark: accessible, inside its width, nothing cut off. */
async function inspect(name) {
  for (const [width, height] of [[1280, 800], [320, 640]]) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await audit(page, `${name} (${width} px, ${colorScheme})`);
      await fitsItsWidth(page, `${name} (${width} px)`);
      await nothingIsCut(page, name);
      await screenshot(page, `${name}-${width}-${colorScheme}`);
    }
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.emulateMedia({ colorScheme: 'light' });
  assert.deepEqual(it.browser.problems.splice(0).filter((problem) => !/status of 4\d\d/.test(problem)), [], name);
}

/** Loads the page until it says something. */
async function says(text) {
  await eventually(`the page says ${text}`, async () => {
    if (await page.locator('main').getByText(text).first().isVisible()) return true;
    await page.reload();
    return false;
  });
}

before(async () => {
  it = await openDemo({ reducedMotion: 'reduce' });
  page = it.page;
  receiver = await openReceiver();
});

after(async () => {
  receiver?.close();
  await it?.close();
});

test('the empty lists say what is missing and what to do', async () => {
  for (const [name, path, text] of [
    ['webhooks-empty', '/webhooks', 'No webhook yet'],
    ['queues-empty', '/queues', 'No queue yet'],
    ['webhook-new', '/webhooks/new', 'It gets what happens from now on'],
    ['queue-new', '/queues/new', 'It begins at the end of the log'],
  ]) {
    await it.goto(path);
    await page.getByText(text).first().waitFor();
    await inspect(name);
  }
});

test('a form that is not right keeps what was typed and says what to enter', async () => {
  await it.goto('/webhooks/new');
  await page.getByLabel('Address', { exact: true }).fill('ftp://elsewhere');
  await page.getByLabel('Headers to add').fill('no colon');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('2 things to correct').waitFor();
  assert.equal(await page.getByLabel('Address', { exact: true }).inputValue(), 'ftp://elsewhere');
  await inspect('webhook-form-mistakes');
});

test('a webhook is made, pinged, rotated, fails, and is sent again', async () => {
  await it.goto('/webhooks/new');
  await page.getByLabel('Address', { exact: true }).fill(receiver.url);
  await page.getByLabel('Description').fill('The help desk');
  await page.getByLabel('ticket.*', { exact: true }).check();
  await page.getByLabel('test.*', { exact: true }).check();
  await page.getByLabel('Headers to add').fill('X-Team: mail');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Shown only now').waitFor();
  const secret = await page.getByRole('textbox', { name: 'Secret', exact: true }).inputValue();
  assert.match(secret, /^whsec_/);
  await page.getByRole('link', { name: 'I have copied it' }).click();
  await page.getByRole('heading', { name: receiver.url, level: 1 }).waitFor();
  const webhook = page.url();
  assert.ok(!(await page.content()).includes(secret), 'the secret is shown once');
  await inspect('webhook-new-made');

  await page.getByRole('button', { name: 'Ping', exact: true }).first().click();
  await page.waitForURL(/\/deliveries\/dlv_/);
  await says('Delivered');
  const ping = receiver.seen.at(-1);
  assert.equal(JSON.parse(ping.body).type, 'test.ping');
  assert.equal(ping.headers['x-team'], 'mail');
  assert.ok(isSigned(ping, secret));
  await inspect('delivery-delivered');

  await page.goto(webhook);
  await page.getByRole('link', { name: 'Draw a new secret' }).click();
  await inspect('webhook-rotate');
  await page.getByRole('button', { name: 'Draw a new secret' }).click();
  const next = await page.getByRole('textbox', { name: 'Secret', exact: true }).inputValue();
  assert.notEqual(next, secret);
  await page.getByText('The secret of before signs as well').waitFor();
  await page.getByRole('link', { name: 'I have copied it' }).click();
  await page.getByText('Two secrets sign').waitFor();

  receiver.status = 500;
  await page.getByRole('button', { name: 'Ping', exact: true }).first().click();
  await page.waitForURL(/\/deliveries\/dlv_/);
  const delivery = page.url();
  await says('The receiver failed.');
  await page.getByText('Waits for another attempt').waitFor();
  assert.ok(!(await page.content()).includes('<script>alert'), 'what it answered is text, if it is shown at all');
  const failed = receiver.seen.at(-1);
  assert.ok(isSigned(failed, secret) && isSigned(failed, next), 'both secrets sign');
  await inspect('delivery-failed');
  await page.goto(webhook);
  await says('The receiver failed');
  await inspect('webhook-failing');

  receiver.status = 204;
  await page.goto(delivery);
  await page.getByRole('button', { name: 'Send again' }).click();
  await says('Delivered');
  const again = receiver.seen.at(-1);
  assert.equal(again.headers['webhook-id'], failed.headers['webhook-id'], 'the same id');

  await page.goto(webhook);
  await page.getByRole('button', { name: 'Disable' }).click();
  await page.getByText('It is disabled and not called').waitFor();
  await inspect('webhook-disabled');
  await page.getByRole('button', { name: 'Enable' }).first().click();
  await page.getByText('It is enabled.').waitFor();
  await page.getByRole('link', { name: 'All deliveries' }).click();
  await page.getByRole('heading', { name: 'Deliveries', level: 1 }).waitFor();
  await inspect('deliveries');
  await page.getByLabel('Outcome').selectOption('failed');
  await page.getByRole('button', { name: 'Show', exact: true }).click();
  await page.getByText('No such delivery').waitFor();
  await inspect('deliveries-none-found');
  await it.goto('/webhooks');
  await inspect('webhooks');
});

test('events appear on top while the page is open, and markup in them stays text', async () => {
  await it.goto('/events');
  await page.getByText('Live: new events appear on top.').waitFor();
  await page.evaluate(() => { globalThis.sameDocument = true; });
  const second = await it.browser.context.newPage();
  await second.goto(new URL('/events', it.demo.baseUrl).href);
  await second.getByText('Make a sample event').click();
  await second.locator('#kind').selectOption('ticket.merged');
  await second.getByRole('button', { name: 'Make it' }).click();
  await second.getByRole('heading', { name: 'ticket.merged', level: 1 }).waitFor();
  const event = second.url();
  await second.close();
  const row = page.locator('tbody tr').first();
  await row.getByRole('link', { name: 'ticket.merged' }).waitFor();
  await row.getByText('Sample', { exact: true }).waitFor();
  assert.equal(await page.evaluate(() => globalThis.sameDocument), true, 'the page was not loaded again');
  await inspect('events');
  await row.getByRole('link', { name: 'ticket.merged' }).click();
  await page.getByText('As apps get it').waitFor();
  assert.equal(page.url(), event);
  await inspect('event');
  await it.goto('/events?type=mailbox.silent');
  await page.getByText('No such event').waitFor();
  await inspect('events-none-found');
});

test('a queue is made, set to another place after a question, and deleted', async () => {
  await it.goto('/queues/new');
  await page.getByLabel('Name', { exact: true }).fill('desk');
  await page.getByLabel('ticket.*', { exact: true }).check();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { name: 'desk', level: 1 }).waitFor();
  await inspect('queue');
  await page.getByLabel('Place', { exact: true }).selectOption('oldest');
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('is forgotten').waitFor();
  await inspect('queue-seek');
  await page.getByRole('button', { name: 'Set it there' }).click();
  await page.getByText('It begins again').waitFor();
  await it.goto('/queues');
  await inspect('queues');
  await page.getByRole('link', { name: 'desk' }).click();
  await page.getByRole('link', { name: 'Delete the queue' }).click();
  await inspect('queue-delete');
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByText('The queue is deleted.').waitFor();
});
