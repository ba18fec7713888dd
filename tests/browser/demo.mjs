// What the tests of the pages have in common: a demo with a browser beside it, and the way through the consent.
import assert from 'node:assert/strict';
import { openBrowser } from './browser.mjs';
import { startMailgrant } from './mailgrant.mjs';

/** `mailgrant demo` and a browser that used its one-time link: `{ demo, browser, page, goto(path), close() }`. */
export async function openDemo(options = {}) {
  const demo = await startMailgrant();
  let browser;
  try {
    browser = await openBrowser(options);
    const { page } = browser;
    page.setDefaultTimeout(20_000);
    await page.goto(demo.link);
    const goto = (path) => page.goto(new URL(path, demo.baseUrl).href);
    const close = async () => {
      await browser.close();
      await demo.stop();
    };
    return { demo, browser, page, goto, close };
  } catch (error) {
    await browser?.close();
    await demo.stop();
    throw error;
  }
}

/** From the provider's consent page back to Mailgrant. */
export async function allow(page) {
  await page.getByRole('heading', { name: / wants access$/ }).waitFor();
  await page.getByRole('button', { name: 'Allow' }).click();
}

/** The first page's own button, the consent, and the test that follows. */
export async function connectDemoMailbox(page) {
  await page.getByRole('button', { name: 'Connect the demo mailbox' }).click();
  await allow(page);
  await page.waitForURL(/\/tests\//);
}

/** Presses one of the buttons that break something. The current page is the dashboard. */
export async function breakIt(page, label) {
  await page.getByRole('button', { name: label }).click();
  await page.locator('.mg-note[role=status], .mg-note[role=alert]').first().waitFor();
}

/** Loads the page again and again until the text is there, as somebody who waits for news does. */
export async function appears(page, text, limit = 60_000) {
  const until = Date.now() + limit;
  for (;;) {
    const found = await page.locator('main').getByText(text).first().isVisible();
    if (found) return;
    if (Date.now() > until) assert.fail(`not within ${limit} ms: ${text}\n${await page.locator('main').innerText()}`);
    await page.waitForTimeout(400);
    await page.reload();
  }
}
