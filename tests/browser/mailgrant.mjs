// Starts what the browser tests look at: `mailgrant demo` on a free port, as a newcomer would.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');

/** The built program. */
export const PROGRAM = process.env.MAILGRANT_TEST_PROGRAM ?? join(target, 'debug', 'mailgrant');

/** A loopback port that nobody listens on. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Asks `probe` again and again until it answers something true; fails with `what` after `limit` milliseconds. */
export async function eventually(what, probe, limit = 30_000) {
  const until = Date.now() + limit;
  for (let pause = 20; ; pause = Math.min(pause * 2, 300)) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > until) throw new Error(`not within ${limit} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/**
 * Starts `mailgrant demo` (or another command) and waits for it.
 *
 * Returns `{ baseUrl, link, output(), run(words), sql(text), stop() }`: where it listens, the one-time link it printed, what
 * it printed so far, another command on its data, a statement behind its back, and how to end it. With `host` it calls
 * itself by another name than 127.0.0.1, which makes it another site for browsers.
 */
export async function startMailgrant({ command = ['demo'], env: more = {}, host } = {}) {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is not built. Run \`tests/run browser\`.`);
  const port = await freePort();
  const directory = await mkdtemp(join(tmpdir(), 'mailgrant-browser-'));
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MAILGRANT_')));
  // The demo reads no settings of others; its port is asked for by a word of its own.
  const words = command[0] === 'demo' ? [...command, '--listen', `127.0.0.1:${port}`] : command;
  const env = {
    ...clean,
    // Where the demo has its data.
    TMPDIR: directory,
    MAILGRANT_DATA_DIR: join(directory, 'data'),
    MAILGRANT_LISTEN: `127.0.0.1:${port}`,
    ...(host ? { MAILGRANT_BASE_URL: `http://${host}:${port}` } : {}),
    ...more,
  };
  const child = spawn(PROGRAM, words, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'], env });
  let printed = '';
  let ended;
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => { printed += bytes; });
  child.on('exit', (code, signal) => { ended = `it ended (${signal ?? code})`; });
  child.on('error', (error) => { ended = String(error); });

  const stop = async () => {
    if (ended === undefined) {
      child.kill('SIGTERM');
      await eventually('mailgrant ends', () => ended, 10_000).catch(() => child.kill('SIGKILL'));
    }
    await rm(directory, { recursive: true, force: true });
  };
  try {
    // The link is the first absolute loopback URL that carries a secret: more than a bare address.
    const link = await eventually('mailgrant prints its one-time link', () => {
      if (ended) throw new Error(ended);
      return /https?:\/\/(?:127\.0\.0\.1|localhost|\[::1\]):\d+\/[^\s"'<>]{16,}/.exec(printed)?.[0];
    });
    const baseUrl = new URL(link).origin;
    await eventually('/readyz answers 200', async () => {
      if (ended) throw new Error(ended);
      return (await fetch(`${baseUrl}/readyz`).catch(() => undefined))?.ok;
    });
    const run = (args, input = '') => execFileSync(PROGRAM, args, { cwd: directory, env, input, encoding: 'utf8' });
    const sql = (text) => {
      // The demo's own folder, not that of the mail provider beside it.
      const files = readdirSync(directory, { recursive: true })
        .filter((name) => name.endsWith('.db') && (command[0] !== 'demo' || name.includes('mailgrant-demo-')));
      if (files.length !== 1) throw new Error(`which database: ${files}`);
      return execFileSync('sqlite3', ['-cmd', '.timeout 20000', join(directory, files[0]), text], { encoding: 'utf8' });
    };
    return { baseUrl, link, output: () => printed, run, sql, stop };
  } catch (error) {
    await stop();
    throw new Error(`mailgrant ${command.join(' ')}: ${error.message}; it printed:\n${printed}`);
  }
}

/** A client of its REST interface: `rest(method, path, body)`, which fails unless the answer is a good one. */
export function restOf({ baseUrl, run }) {
  const { token } = JSON.parse(run(['token', 'create', '--name', 'tests', '--json']));
  return async (method, path, body) => {
    const answer = await fetch(new URL(`/api/v1/${path}`, baseUrl), {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const said = await answer.json();
    if (!answer.ok) throw new Error(`${method} ${path}: ${JSON.stringify(said)}`);
    return said;
  };
}
