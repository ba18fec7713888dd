// The authorization server's refusals are numbered (N1, N2, …), and whoever reads a number finds its test: each stands in
// the name of a test function, and no name hides some of them in a range.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

const root = new URL('../..', import.meta.url).pathname;
const numbers = [...Array.from({ length: 57 }, (_, at) => at + 1), 66, 69, 70];

function* names(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && entry.name !== 'node_modules') yield* names(path);
    else if (entry.name.endsWith('.rs')) {
      // A test by its attribute, or one that runs on each database.
      const text = readFileSync(path, 'utf8');
      for (const [, name] of text.matchAll(/#\[(?:tokio::)?test[^\]]*\]\s*(?:async )?fn (n\d+_\w+)/g)) yield name;
      for (const [, list] of text.matchAll(/on_each_database!\(([^)]*)\)/g)) yield* list.split(',').map((name) => name.trim());
    }
  }
}

test('every numbered refusal is a test with that number in its name', () => {
  const all = [...names(join(root, 'src')), ...names(join(root, 'tests/it'))];
  assert.ok(all.length > 40, 'tests are found');
  const ranges = all.filter((name) => /n\d+_to_n\d+/.test(name));
  assert.deepEqual(ranges, [], 'a range names only its ends');
  const numbered = new Set(all.flatMap((name) => [...name.matchAll(/(?<=^|_)n(\d+)(?=_)/g)].map(([, number]) => Number(number))));
  assert.deepEqual(numbers.filter((number) => !numbered.has(number)), [], 'numbers without a test');
});
