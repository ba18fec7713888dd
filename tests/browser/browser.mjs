// Chromium, the accessibility audit, and pictures.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const axeSource = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const root = fileURLToPath(new URL('../../', import.meta.url));
const pictures = process.env.MAILGRANT_TEST_SCREENSHOTS
  ?? join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'screenshots');

/** How the page that a tab shows was asked for: method and status. */
const answers = new WeakMap();

/** Remembers the answer that a tab shows. */
function watchAnswers(page) {
  page.on('response', (response) => {
    const request = response.request();
    const isRedirect = response.status() >= 300 && response.status() < 400;
    if (!request.isNavigationRequest() || isRedirect) return;
    try {
      if (request.frame() !== page.mainFrame()) return;
    } catch {
      // A request from before there was a frame.
    }
    answers.set(page, { method: request.method(), status: response.status() });
  });
}

/** Notes that this page was looked at, for `audited.mjs`: as it is, not as an error or the answer to a form. */
async function note(page) {
  const file = process.env.MAILGRANT_TEST_AUDITED;
  const { method, status } = answers.get(page) ?? {};
  if (file && method === 'GET' && status === 200) await appendFile(file, `${new URL(page.url()).pathname}\n`);
}

/** The installed browser, or an error that says what to run. */
export function chromiumPath() {
  const given = process.env.MAILGRANT_TEST_CHROMIUM;
  const found = given ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
  if (!found || !existsSync(found)) {
    throw new Error('Chromium is not installed. Run `tests/run services`, or name one in MAILGRANT_TEST_CHROMIUM.');
  }
  return found;
}

/**
 * A browser with a profile of its own. `context` are Playwright's options: `javaScriptEnabled: false`,
 * `viewport: { width: 320, height: 640 }`, `colorScheme: 'dark'`, `reducedMotion: 'reduce'`, …
 *
 * Returns `{ page, context, problems, close() }`; `problems` collects what the page's console calls an error, which
 * includes everything the Content-Security-Policy blocks, and requests to hosts other than loopback.
 */
export async function openBrowser(options = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'mailgrant-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: chromiumPath(),
    headless: true,
    viewport: { width: 1280, height: 800 },
    locale: 'en-GB',
    timezoneId: 'UTC',
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ...options,
  });
  const problems = [];
  const watch = (page) => {
    watchAnswers(page);
    page.on('console', (message) => {
      if (message.type() === 'error') problems.push(`${page.url()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => problems.push(`${page.url()}: ${error}`));
    page.on('request', (request) => {
      const { protocol, hostname } = new URL(request.url());
      if (/^https?:$/.test(protocol) && !['127.0.0.1', 'localhost', '[::1]'].includes(hostname)) {
        problems.push(`${page.url()} asks ${hostname}`);
      }
    });
  };
  context.pages().forEach(watch);
  context.on('page', watch);
  const page = context.pages()[0] ?? (await context.newPage());
  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { page, context, problems, close };
}

/**
 * Audits the page against WCAG 2.2 AA and best practice, and fails with every serious or critical finding: rule, place, what to do.
 * Returns the lesser findings.
 */
export async function audit(page, what = page.url()) {
  // Evaluated rather than put in as a script element, which the page's Content-Security-Policy rightly blocks.
  await page.evaluate(await readFile(axeSource, 'utf8'));
  const { violations } = await page.evaluate(() => globalThis.axe.run(globalThis.document, {
    resultTypes: ['violations'],
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }));
  const tell = ({ id, impact, help, nodes }) => `${impact} ${id}: ${help}\n`
    + nodes.slice(0, 5).map((node) => `    ${node.html.slice(0, 160)}\n    ${node.failureSummary.replace(/\n\s*/g, ' ')}`).join('\n');
  const grave = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  if (grave.length > 0) throw new Error(`accessibility of ${what}:\n${grave.map(tell).join('\n')}`);
  await note(page);
  return violations;
}

/** Fails when the page scrolls sideways at its present width. */
export async function fitsItsWidth(page, what = page.url()) {
  const { content, window } = await page.evaluate(() => ({
    content: globalThis.document.documentElement.scrollWidth,
    window: globalThis.document.documentElement.clientWidth,
  }));
  if (content > window) throw new Error(`${what} is ${content} px wide in a window of ${window} px`);
}

/** Fails when a word, a button or a badge sticks out of the card that cuts it off. */
export async function nothingIsCut(page, what = page.url()) {
  const cut = await page.evaluate(() => {
    const { document, getComputedStyle } = globalThis;
    const pieces = [...document.querySelectorAll('main :is(a, p, button, time, code, input, dd, .mg-badge)')];
    return pieces.filter((piece) => {
      const { right, width } = piece.getBoundingClientRect();
      if (width <= 1 || !piece.checkVisibility()) return false;
      for (let box = piece.parentElement; box && box !== document.body; box = box.parentElement) {
        const { overflowX } = getComputedStyle(box);
        if (overflowX === 'auto' || overflowX === 'scroll') return false;
        if (overflowX === 'hidden' && box.clientWidth > 1 && right > box.getBoundingClientRect().right + 1) return true;
      }
      return false;
    }).map((piece) => piece.outerHTML.slice(0, 120));
  });
  if (cut.length > 0) throw new Error(`${what}: cut off at ${page.viewportSize().width} px:\n${cut.slice(0, 5).join('\n')}`);
}

/** Saves a picture of the whole page (or of what the window shows) as `NAME.png` and returns its path. */
export async function screenshot(page, name, { fullPage = true } = {}) {
  await mkdir(pictures, { recursive: true });
  const path = join(pictures, `${name}.png`);
  await page.screenshot({ path, fullPage });
  return path;
}

/** The browser's version, for a report. */
export const chromiumVersion = () => execFileSync(chromiumPath(), ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
