// How fast a backlog is delivered: events written into the log at once, then webhooks that were disabled are enabled.
//
//   node benches/deliveries.mjs target/release/mailgrant [EVENTS=100000] [ENDPOINTS=1,10]
//
// SQLite on a fresh data directory, receivers on loopback in this process, thin bodies, order of each of 1,000 tickets
// kept. Needs Python 3 to fill the log. Prints deliveries per second from the first to the last.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [program, events = '100000', endpoints = '1,10'] = process.argv.slice(2);
const EVENTS = Number(events);

const FILL = `
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=60)
now = int(time.time() * 1000)
rows = ((f"evt_01BENCH{n:019d}", f"tkt_{n % 1000}", f"tkt_{n % 1000}", now) for n in range(int(sys.argv[2])))
db.executemany("INSERT INTO events (id, type, project_id, subject_id, actor, data, created_at, order_key) "
               "VALUES (?, 'ticket.updated', '', ?, 'system', '{\\"key\\":\\"HELP-1\\"}', ?4, ?3)", rows)
db.commit()
`;

async function bench(count) {
  const directory = mkdtempSync(join(tmpdir(), 'mailgrant-bench-'));
  const seen = new Map();
  const receiver = createServer((request, response) => {
    request.resume().on('end', () => {
      const one = seen.get(request.url);
      one.ids.add(request.headers['webhook-id']);
      one.first ??= performance.now();
      one.last = performance.now();
      response.writeHead(204).end();
    });
  });
  receiver.keepAliveTimeout = 60_000;
  await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const port = await new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
  const env = {
    ...process.env, MAILGRANT_DATA_DIR: join(directory, 'data'), MAILGRANT_LISTEN: `127.0.0.1:${port}`,
    MAILGRANT_ALLOW_WEBHOOK_NETWORKS: '127.0.0.0/8', MAILGRANT_LOG_LEVEL: 'warn',
  };
  const server = spawn(program, ['serve'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    const base = `http://127.0.0.1:${port}`;
    while (!(await fetch(`${base}/readyz`).catch(() => undefined))?.ok) await new Promise((resolve) => setTimeout(resolve, 50));
    const { token } = JSON.parse(execFileSync(program, ['token', 'create', '--name', 'bench', '--json'], { env }));
    const post = async (path, body = {}) => (await fetch(`${base}/api/v1${path}`, {
      method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify(body),
    })).json();
    const hooks = [];
    for (let n = 0; n < count; n += 1) {
      seen.set(`/${n}`, { ids: new Set() });
      const url = `http://127.0.0.1:${receiver.address().port}/${n}`;
      const hook = await post('/webhooks', { url, payload: 'thin', types: ['ticket.*'] });
      await post(`/webhooks/${hook.id}/disable`);
      hooks.push(hook);
    }
    execFileSync('python3', ['-c', FILL, join(directory, 'data', 'mailgrant.db'), String(EVENTS)]);
    // Nothing was read meanwhile: let the client see which of its connections the server has closed.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const began = performance.now();
    for (const hook of hooks) await post(`/webhooks/${hook.id}/enable`);
    while ([...seen.values()].some(({ ids }) => ids.size < EVENTS)) await new Promise((resolve) => setTimeout(resolve, 100));
    const seconds = (Math.max(...[...seen.values()].map(({ last }) => last)) - began) / 1000;
    const all = EVENTS * count;
    console.log(`${count} endpoint(s), ${EVENTS} events: ${all} deliveries in ${seconds.toFixed(1)} s, ${Math.round(all / seconds)} a second`);
  } finally {
    server.kill('SIGKILL');
    receiver.closeAllConnections();
    receiver.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

for (const count of endpoints.split(',').map(Number)) await bench(count);
