// The habits of this repository that no other tool checks. Each rule is a function of file names and texts that
// returns sentences; house-rules.test.mjs applies them to samples and to the tree.

/** Where each library may be imported. Exchanging a library then touches one room. */
export const DOORS = {
  actix_web: ['src/web/', 'src/app.rs', 'src/sandbox/', 'src/demo/'],
  actix_multipart: ['src/web/'],
  oauth2: ['src/oauth2_client/'],
  openidconnect: ['src/sso/'],
  async_imap: ['src/mailbox/imap/'],
  imap_codec: ['src/sandbox/'],
  sea_orm: ['src/db/', 'store.rs', '/store/'],
  aes_gcm: ['src/crypto/'],
  tera: ['src/render/'],
  lettre: ['src/smtp/'],
  cron: ['src/schedule.rs'],
};

/** What a service must be able to name in order to work inside the transaction it is given. */
const TRANSACTION_WORDS =
  /(?:use )?sea_orm::(?:\{(?:\s*(?:DbErr|ConnectionTrait|DatabaseTransaction)\b,?)+\s*\}|(?:DbErr|ConnectionTrait|DatabaseTransaction)\b)/g;

/** What the foundation and the mail pipeline must not reach up to. */
const EDGES = ['web', 'jobs', 'app', 'cli'];
const TOP = ['src/web/', 'src/jobs/', 'src/cli/', 'src/app.rs', 'src/main.rs', 'src/lib.rs', 'src/sandbox/', 'src/demo/'];

/** Rust without comments and strings, so that a word in a sentence is not taken for code. */
export function code(text) {
  return text
    .replace(/\/\/[^\n]*/g, '')
    .replace(/r(#*)"[\s\S]*?"\1/g, '""')
    .replace(/"(?:[^"\\]|\\[\s\S])*"/g, '""');
}

/** Rules for one Rust file. */
export function rustFile(name, text) {
  const wrong = [];
  const source = code(text);
  if (!text.startsWith('//! ')) wrong.push(`${name}: must open with //! and say what lives here`);
  if (/\b(?:TODO|FIXME|XXX|HACK)\b/.test(text)) wrong.push(`${name}: an open task belongs in an issue or a test`);
  if (/\bdbg!\s*\(/.test(source)) wrong.push(`${name}: dbg!`);
  if (/#\[ignore\b/.test(source)) wrong.push(`${name}: an ignored test; make it run or remove it`);
  if (/\bunsafe\s*(?:\{|fn|impl)/.test(source)) wrong.push(`${name}: unsafe`);
  // A test may look behind any door.
  const isTest = /(?:^|\/)tests(?:\.rs$|\/)/.test(name);
  if (name.startsWith('src/') && !isTest) {
    const imports = source.replace(TRANSACTION_WORDS, '');
    for (const [library, doors] of Object.entries(DOORS)) {
      const used = new RegExp(`(?<![\\w:])${library}::|\\buse ${library}\\b(?!::)`).test(imports);
      const through = doors.some((door) => (door.startsWith('src/') ? name.startsWith(door) : name.includes(door)));
      if (used && !through) wrong.push(`${name}: ${library} is imported only in ${doors.join(', ')}`);
    }
    if (!TOP.some((place) => name.startsWith(place))) {
      for (const edge of EDGES) {
        if (new RegExp(`\\bcrate::${edge}\\b`).test(source)) wrong.push(`${name}: nothing here imports crate::${edge}`);
      }
    }
  }
  return wrong;
}

/** Rules for one template. */
export function template(name, text) {
  const wrong = [];
  if (/\|\s*safe\b/.test(text)) wrong.push(`${name}: "| safe" switches escaping off`);
  if (/<script(?![^>]*\bsrc=)/i.test(text)) wrong.push(`${name}: inline script, which the Content-Security-Policy blocks`);
  if (/\son\w+\s*=\s*["']/i.test(text)) wrong.push(`${name}: inline event handler`);
  if (/\sstyle\s*=\s*["']/i.test(text)) wrong.push(`${name}: inline style, which the Content-Security-Policy blocks`);
  if (/(?:src|href)\s*=\s*["'](?:https?:)?\/\/(?![^"']*\{\{)/i.test(text.replace(/<a\b[^>]*>/gi, ''))) {
    wrong.push(`${name}: loads something from another host`);
  }
  return wrong;
}

/** Rules for any text: nothing of one person's machine. */
export function anyText(name, text) {
  const wrong = [];
  const path = /(?<![\w.$}{-])\/(?:home|Users|root|work)\/[\w.-]+/.exec(text);
  if (path) wrong.push(`${name}: ${path[0]} is a path of somebody's machine`);
  if (name.endsWith('package-lock.json')) {
    for (const [, host] of text.matchAll(/"resolved": "https?:\/\/([^/"]+)/g)) {
      if (host !== 'registry.npmjs.org') wrong.push(`${name}: resolved from ${host}`);
    }
  }
  return wrong;
}

/** ARCHITECTURE.md names every folder of src/, and none that does not exist. Folders inside those may be named. */
export function architecture(text, rooms) {
  const named = new Set([...text.matchAll(/`src\/([a-z0-9_]+(?:\/[a-z0-9_]+)*)\/?`/g)].map((found) => found[1]));
  const wrong = rooms.filter((room) => !room.includes('/') && !named.has(room)).map((room) => `ARCHITECTURE.md does not name \`src/${room}\``);
  for (const name of named) {
    if (!rooms.includes(name)) wrong.push(`ARCHITECTURE.md names \`src/${name}\`, which does not exist`);
  }
  return wrong;
}
