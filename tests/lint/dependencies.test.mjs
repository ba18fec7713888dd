// Rules for the dependencies: the rules themselves on samples, then on this workspace.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { compareVersions, findings, packages, policy, satisfied } from './dependencies.mjs';

const root = new URL('../../', import.meta.url);
const rules = policy(readFileSync(new URL('deny.toml', root), 'utf8'));

test('licence expressions are read as SPDX means them', () => {
  const allowed = new Set(['MIT', 'ISC', 'Apache-2.0 WITH LLVM-exception']);
  for (const good of ['MIT', 'MIT/Apache-2.0', 'GPL-2.0-only OR MIT', '(GPL-3.0 OR ISC) AND MIT',
    'Apache-2.0 WITH LLVM-exception']) assert.ok(satisfied(good, allowed), good);
  for (const bad of ['GPL-3.0-or-later', 'MIT AND GPL-3.0', '(MIT OR ISC) AND LGPL-3.0', 'Apache-2.0']) {
    assert.ok(!satisfied(bad, allowed), bad);
  }
  assert.throws(() => satisfied('MIT ISC', allowed));
});

test('versions are ordered by number', () => {
  assert.ok(compareVersions('0.4.9', '0.4.16') < 0);
  assert.ok(compareVersions('1.0.0-alpha.1', '0.9.9') > 0);
  assert.equal(compareVersions('0.11.22+1', '0.11.22'), 0);
});

test('a foreign licence, a banned package and a version below its floor are found', () => {
  const tree = 'us v0.1.0 (/somewhere)|MIT\nactix-governor v0.10.0|GPL-3.0-or-later\nh2 v0.3.27|MIT (*)\n'
    + 'nameless v1.0.0 (proc-macro)|\nfine v2.0.0-rc.1|(MIT OR Apache-2.0) AND Unicode-3.0 (*)\n';
  assert.deepEqual(packages(tree).map(({ name }) => name), ['us', 'actix-governor', 'h2', 'nameless', 'fine']);
  assert.deepEqual(findings(packages(tree), rules), [
    'actix-governor 0.10.0: licence GPL-3.0-or-later is not in deny.toml',
    'actix-governor 0.10.0 is banned: GPL-3.0-or-later; use governor',
    'h2 0.3.27 is older than 0.4.16: RUSTSEC-2026-0258',
    'nameless 1.0.0 states no licence',
  ]);
});

test('this workspace keeps the rules of deny.toml', () => {
  // What ends up in the program or runs to make it; what only the tests use is a tool.
  const tree = (...more) => execFileSync(
    'cargo',
    ['tree', '--locked', '--workspace', '--edges', 'normal,build', '--prefix', 'none', '--format', '{p}|{l}', ...more],
    { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let printed;
  try {
    printed = tree('--offline');
  } catch {
    printed = tree(); // nothing downloaded yet
  }
  const found = packages(printed);
  assert.ok(found.length > 100, `only ${found.length} packages?`);
  assert.deepEqual(findings(found, rules), []);
});
