// The API page: a token for an hour, a request that is really sent, and what is shown without a script.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { audit, fitsItsWidth, screenshot } from './browser.mjs';
import { connectDemoMailbox, openDemo } from './demo.mjs';

let it;
let page;

before(async () => {
  it = await openDemo({ reducedMotion: 'reduce' });
  page = it.page;
  await connectDemoMailbox(page);
});

after(async () => {
  await it?.close();
});

test('a route is found, tried with a token of the session, and its answer shown', async () => {
  it.browser.problems.length = 0;
  await it.goto('/reference');
  await page.getByRole('button', { name: 'Make one for an hour' }).click();
  assert.match(await page.getByLabel('Access token').inputValue(), /^mg_pat_/);
  await page.getByLabel('Find a route').fill('/projects list');
  const route = page.locator('.mg-route:not([hidden])').first();
  await route.locator('summary').first().click();
  await route.getByRole('button', { name: 'Send GET' }).click();
  await route.getByText('200 OK').waitFor();
  const body = JSON.parse(await route.locator('.mg-answer pre').last().innerText());
  assert.ok(body.items.length > 0);
  await audit(page);
  await fitsItsWidth(page);
  await screenshot(page, 'reference-answer');
  assert.deepEqual(it.browser.problems, []);
});

test('a path is filled, a body is sent, and a refusal is shown as it is', async () => {
  await page.getByLabel('Find a route').fill('open a ticket');
  const route = page.locator('.mg-route:not([hidden])').first();
  await route.locator('summary').first().click();
  const body = route.getByLabel('Body (application/json)');
  assert.deepEqual(Object.keys(JSON.parse(await body.inputValue())).sort(), ['projectId', 'subject']);
  await body.fill('{"projectId": "none", "subject": ""}');
  await route.getByRole('button', { name: 'Send POST' }).click();
  await route.getByText(/^4\d\d /).waitFor();
  await page.setViewportSize({ width: 320, height: 640 });
  await audit(page);
  await fitsItsWidth(page);
  await screenshot(page, 'reference-refused-320');
  await page.setViewportSize({ width: 1280, height: 800 });
});

test('without a token the answer says so', async () => {
  await it.goto('/reference');
  await page.getByLabel('Find a route').fill('list tickets');
  const route = page.locator('.mg-route:not([hidden])').filter({ has: page.getByText('List tickets', { exact: true }) });
  await route.locator('summary').first().click();
  await route.getByRole('button', { name: 'Send GET' }).click();
  await route.getByText('401').first().waitFor();
});

test('without a script the page says what it lacks and leads to the whole as a file', async () => {
  const bare = await openDemo({ javaScriptEnabled: false });
  try {
    await bare.goto('/reference');
    await bare.page.getByRole('heading', { name: 'API', level: 1 }).waitFor();
    await bare.page.getByText('This part of the page needs JavaScript.').waitFor();
    await bare.page.getByRole('button', { name: 'Make one for an hour' }).click();
    assert.match(await bare.page.getByLabel('Access token').inputValue(), /^mg_pat_/);
    const href = await bare.page.getByRole('link', { name: 'OpenAPI document' }).first().getAttribute('href');
    const document = await (await fetch(new URL(href, bare.demo.baseUrl))).json();
    assert.equal(document.openapi.slice(0, 4), '3.1.');
    await screenshot(bare.page, 'reference-without-script');
    assert.deepEqual(bare.browser.problems, []);
  } finally {
    await bare.close();
  }
});
