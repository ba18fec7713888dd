// Splitting a ticket and taking it back, as an agent does it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { audit, fitsItsWidth, screenshot } from './browser.mjs';
import { connectDemoMailbox, openDemo } from './demo.mjs';
import { eventually } from './mailgrant.mjs';

let it;
let page;

before(async () => {
  it = await openDemo({ reducedMotion: 'reduce' });
  page = it.page;
  await connectDemoMailbox(page);
  await eventually('a ticket with an answer is there', async () => {
    await it.goto('/tickets?q=invoice');
    const tickets = page.locator('tbody th a');
    if (await tickets.count() === 0) return false;
    await tickets.first().click();
    await page.locator('article.mg-entry').first().waitFor();
    return await page.locator('article.mg-entry').count() > 1;
  });
});

after(async () => {
  await it?.close();
});

const pathname = () => new URL(page.url()).pathname;

test('entries are chosen, the question says what moves, and the new ticket has them', async () => {
  it.browser.problems.length = 0;
  const old = pathname();
  const count = await page.locator('article.mg-entry').count();
  await page.getByRole('link', { name: 'Split off entries' }).click();
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('Choose the entries that become a ticket of their own.').first().waitFor();
  await audit(page);
  assert.equal(it.browser.problems.splice(0).filter((problem) => !/422/.test(problem)).length, 0);
  for (const [width, height] of [[320, 640], [1280, 800]]) {
    await page.setViewportSize({ width, height });
    await fitsItsWidth(page);
    await audit(page);
    await screenshot(page, `split-choose-${width}`);
  }
  await page.locator('input[name=entry]').last().check();
  await page.getByLabel('Subject of the new ticket').fill('Another matter');
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('becomes a new ticket “Another matter”').waitFor();
  await audit(page);
  await screenshot(page, 'split-confirm');
  await page.getByRole('button', { name: 'Split' }).click();
  await page.getByRole('heading', { name: 'Another matter' }).waitFor();
  assert.notEqual(pathname(), old);
  assert.equal(await page.locator('article.mg-entry').count(), 1);
  await page.getByText('One ticket with this before').waitFor();
  await page.getByText(/^Split off HELP-/).waitFor();
  await screenshot(page, 'split-done');
  await it.goto(old);
  assert.equal(await page.locator('article.mg-entry').count(), count - 1);
  await page.getByText(/HELP-\d+ was split off/).waitFor();
});

test('a merge takes it back', async () => {
  const old = pathname();
  const before = await page.locator('article.mg-entry').count();
  const other = await page.locator('.mg-list a[href^="/tickets/"]').first().getAttribute('href');
  await it.goto(other);
  await page.getByRole('link', { name: /^Merge HELP-\d+ into/ }).first().click();
  await page.getByRole('button', { name: 'Merge' }).click();
  await page.getByText(/is merged into/).waitFor();
  assert.equal(pathname(), old);
  assert.equal(await page.locator('article.mg-entry').count(), before + 1);
  assert.deepEqual(it.browser.problems, []);
});
