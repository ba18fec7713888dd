// The browser bench tested on itself, on a page made here: what it must find, it finds.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { NO_PAGES, missing } from './audited.mjs';
import { audit, fitsItsWidth, nothingIsCut, openBrowser, screenshot } from './browser.mjs';

const GOOD = '<!doctype html><html lang="en"><head><title>Good</title><meta name="viewport" content="width=device-width">'
  + '</head><body><main><h1>Good</h1><label>Name <input></label></main></body></html>';
const BAD = '<!doctype html><html lang="en"><head><title>Bad</title></head><body><main><h1>Bad</h1><input>'
  + '<p id="pale">too pale</p><div id="wide">x</div><div id="cut"><p>cut off</p></div><script>document.title = "ran";</script></main></body></html>';
// A style sheet of its own, since the policy below forbids inline styles as Mailgrant's does.
const STYLE = '#pale { color: #ccc } #wide { width: 3000px } #cut { overflow: hidden; width: 50px } #cut p { width: 200px }';

let server;
let browser;
let url;

before(async () => {
  server = createServer((request, response) => {
    response.setHeader('Content-Security-Policy', "default-src 'none'; style-src 'self'; img-src 'self'");
    const css = request.url === '/style.css';
    response.setHeader('Content-Type', css ? 'text/css' : 'text/html; charset=utf-8');
    response.end(css ? STYLE : request.url === '/bad' ? BAD.replace('</head>', '<link rel="stylesheet" href="/style.css"></head>') : GOOD);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${server.address().port}`;
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  server?.close();
});

test('a page without faults passes, at 320 px too, and has its picture taken', async () => {
  await browser.page.goto(`${url}/good`);
  assert.deepEqual(await audit(browser.page), []);
  await browser.page.setViewportSize({ width: 320, height: 640 });
  await fitsItsWidth(browser.page);
  await nothingIsCut(browser.page);
  assert.ok(existsSync(await screenshot(browser.page, 'bench')));
});

test('a pale text, a field without a label, a page that scrolls sideways and a cut text are found', async () => {
  await browser.page.setViewportSize({ width: 800, height: 600 });
  await browser.page.goto(`${url}/bad`);
  await assert.rejects(audit(browser.page), (error) => /color-contrast/.test(error.message) && /label/.test(error.message));
  await assert.rejects(fitsItsWidth(browser.page), /3\d\d\d px wide in a window of 800 px/);
  await assert.rejects(nothingIsCut(browser.page), /cut off/);
});

test('a page that nobody looked at is named, and so is a reason that is none any more', () => {
  const table = [
    '| GET /api/v1/things | x |', '<!-- end of rest -->', '| GET /things | yes |', '| GET /things/new | yes |', '| POST /things | yes |',
    '| GET /things/{id} | yes |', ...Object.keys(NO_PAGES).map((path) => `| GET ${path} |`),
  ].join('\n');
  assert.deepEqual(missing(table, ['/things', '/things/new']), ['nobody looked at /things/{id}']);
  assert.deepEqual(missing(table, ['/things', '/things/7']), ['nobody looked at /things/new']);
  assert.deepEqual(missing(table, ['/things', '/things/new', '/things/7']), []);
  const [reason] = missing(table, ['/things', '/things/new', '/things/7', '/static/a/b.css']);
  assert.match(reason, /^\/static\/\{path:\.\*\} is looked at/);
  assert.match(missing(table.replace('| GET /livez |', ''), ['/things', '/things/new', '/things/7'])[0], /there is no \/livez/);
});

test('what the Content-Security-Policy blocks is noticed', async () => {
  browser.problems.length = 0;
  await browser.page.goto(`${url}/bad`);
  assert.equal(await browser.page.title(), 'Bad', 'the inline script did not run');
  assert.match(browser.problems.join('\n'), /Content Security Policy/i);
});
