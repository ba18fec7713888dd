// The house rules: each on a sample that breaks it, then all on the tree.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { anyText, architecture, rustFile, template } from './house-rules.mjs';

const root = new URL('../../', import.meta.url);
const read = (name) => readFileSync(new URL(name, root), 'utf8');
const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((name) => name !== '' && existsSync(new URL(name, root)));
// Other people's files, and texts that must quote what they forbid.
const ours = files.filter((name) => !name.startsWith('static/vendor/') && !name.startsWith('tests/lint/'));

test('a Rust file that breaks a rule is found', () => {
  const broken = {
    'src/grant/x.rs': 'use std::fmt;',
    'src/grant/a.rs': '//! A.\nfn f() { dbg!(1); }',
    'src/grant/b.rs': '//! B.\n#[test]\n#[ignore]\nfn f() {}',
    'src/grant/c.rs': '//! C.\n// TODO: later\n',
    'src/grant/d.rs': '//! D.\nuse async_imap::Client;',
    'src/web/e.rs': '//! E.\nfn f() -> sea_orm::Value { todo() }',
    'src/web/g.rs': '//! G.\nuse sea_orm::{DbErr, EntityTrait};',
    'src/ticket/f.rs': '//! F.\nuse crate::web::Form;',
  };
  for (const [name, text] of Object.entries(broken)) assert.equal(rustFile(name, text).length, 1, name);
});

test('a Rust file that only mentions things is left alone', () => {
  const text = '//! Why `dbg!(x)` and #[ignore] are not used.\nuse crate::oauth2_client::Client;\n'
    + 'fn f() -> &\'static str { "sea_orm::DbErr crate::web" }\n';
  assert.deepEqual(rustFile('src/grant/service.rs', text), []);
  assert.deepEqual(rustFile('src/grant/service.rs', '//! S.\nuse sea_orm::{ConnectionTrait, DbErr};\n'), []);
  assert.deepEqual(rustFile('src/grant/store.rs', '//! Queries.\nuse sea_orm::EntityTrait;\n'), []);
});

test('a template that breaks a rule is found', () => {
  for (const text of ['{{ subject | safe }}', '<script>alert(1)</script>', '<a onclick="x()">', '<p style="color:red">',
    '<img src="https://example.test/x.png">']) assert.equal(template('templates/x.html', text).length, 1, text);
  assert.deepEqual(template('x', '<script src="/static/app.js" type="module"></script><a href="https://e.test">e</a>'), []);
});

test('a path of somebody\'s machine and a private registry are found', () => {
  assert.equal(anyText('README.md', 'see /home/somebody/notes').length, 1);
  assert.equal(anyText('x/package-lock.json', '"resolved": "https://mirror.example.test/a.tgz"').length, 1);
  assert.deepEqual(anyText('README.md', 'https://example.test/home/page, $HOME/.cache, /etc/mailgrant'), []);
});

test('a room without a name in ARCHITECTURE.md, and a name without a room, are found', () => {
  assert.deepEqual(architecture('`src/db/` and `src/gone/`', ['db', 'db/inner', 'web']),
    ['ARCHITECTURE.md does not name `src/web`', 'ARCHITECTURE.md names `src/gone`, which does not exist']);
});

test('the tree keeps the house rules', () => {
  const wrong = [];
  for (const name of ours) {
    if (name.endsWith('.rs')) wrong.push(...rustFile(name, read(name)));
    if (name.startsWith('templates/') && /\.(?:html|txt|xml|svg)$/.test(name)) wrong.push(...template(name, read(name)));
    if (/\.(?:rs|md|toml|ya?ml|mjs|js|json|html|css|sh|txt)$|^tests\/run$|^\.ci\/run$|^Dockerfile$/.test(name)) {
      wrong.push(...anyText(name, read(name)));
    }
  }
  const folders = new Set();
  for (const name of ours.filter((found) => /^src\/.+\.rs$/.test(found))) {
    const parts = name.split('/').slice(1, -1);
    parts.forEach((_, depth) => folders.add(parts.slice(0, depth + 1).join('/')));
  }
  wrong.push(...architecture(read('ARCHITECTURE.md'), [...folders].sort()));
  assert.deepEqual(wrong, []);
});
