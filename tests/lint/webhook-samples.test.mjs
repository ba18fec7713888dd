// The verifiers in docs/webhooks.md, as they stand there: the ones whose language is at hand are run.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const page = readFileSync(new URL('../../docs/webhooks.md', import.meta.url), 'utf8');
const sample = (language) => new RegExp('```' + language + '\\n([\\s\\S]*?)```').exec(page)?.[1] ?? assert.fail(`no ${language}`);

const SECRET = `whsec_${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}`;
const NOW = 1_800_000_000;

function request(body, { at = NOW, key = '0123456789abcdef0123456789abcdef' } = {}) {
  const mac = createHmac('sha256', key).update(`evt_1.${at}.`).update(body).digest('base64');
  return { headers: { 'webhook-id': 'evt_1', 'webhook-timestamp': String(at), 'webhook-signature': `v1,AAAA v1,${mac} v1a,AAAA` }, body };
}

const body = '{"name":"Grüße"}';
const good = request(body);
const CASES = [
  ['good', good, true],
  ['another body', { ...good, body: body + ' ' }, false],
  ['another id', { ...good, headers: { ...good.headers, 'webhook-id': 'evt_2' } }, false],
  ['another secret', request(body, { key: 'x'.repeat(32) }), false],
  ['too old', request(body, { at: NOW - 301 }), false],
  ['from the future', request(body, { at: NOW + 301 }), false],
  ['no time', { ...good, headers: { ...good.headers, 'webhook-timestamp': 'NaN' } }, false],
  ['another version', { ...good, headers: { ...good.headers, 'webhook-signature': good.headers['webhook-signature'].replaceAll('v1,', 'v2,') } }, false],
  ['no signature', { ...good, headers: { ...good.headers, 'webhook-signature': '' } }, false],
];

test('the sample in JavaScript tells right from wrong', async () => {
  const { verify } = await import(`data:text/javascript,${encodeURIComponent(sample('js'))}`);
  for (const [name, { headers, body }, wanted] of CASES) assert.equal(verify(SECRET, headers, Buffer.from(body), NOW), wanted, name);
});

test('the sample in Python tells right from wrong', () => {
  const ask = `${sample('python')}
import json, sys
for name, request, wanted in json.load(sys.stdin):
    assert verify(${JSON.stringify(SECRET)}, request["headers"], request["body"].encode(), ${NOW}) == wanted, name
`;
  const { status, stderr } = spawnSync('python3', ['-c', ask], { input: JSON.stringify(CASES), encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});

test('there are samples in two more languages', () => {
  for (const language of ['ruby', 'go']) assert.match(sample(language), /webhook-signature/);
});
