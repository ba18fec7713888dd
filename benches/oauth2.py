#!/usr/bin/env python3
"""Token endpoint and introspection of Mailgrant beside npm's `oidc-provider`, in one run, with `wrk` as the load.

    cargo build --locked --release && python3 benches/oauth2.py target/release/mailgrant

Needs wrk (Debian: wrk) and what `tests/run services` installs. Mailgrant keeps every token in SQLite, synced to the disk
before it answers; oidc-provider keeps the last 1,000 in memory. Each figure: requests in a second, CPU of the server for
one of them, 99th percentile, resident memory afterwards. Nothing is asserted: the machine decides.
"""
import base64
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

PROGRAM = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else 'target/release/mailgrant')
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SECONDS = int(os.environ.get('BENCH_SECONDS', '8'))
CONNECTIONS = 16
TICKS = os.sysconf('SC_CLK_TCK')

PROVIDER = """
import { Provider } from 'oidc-provider';
const provider = new Provider(process.argv[2], {
  clients: [{ client_id: 'bench', client_secret: 'bench-secret-that-is-long-enough', grant_types: ['client_credentials'],
    redirect_uris: [], response_types: [], scope: 'tickets:read' }],
  scopes: ['tickets:read'],
  features: { clientCredentials: { enabled: true }, introspection: { enabled: true }, devInteractions: { enabled: false } },
});
provider.listen(Number(new URL(process.argv[2]).port), '127.0.0.1');
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def wait_for(url):
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f'{url} does not answer')


class Server:
    def __init__(self, name, command, ready, env=None, cwd=None):
        self.name = name
        self.log = tempfile.NamedTemporaryFile()
        self.process = subprocess.Popen(command, env={**os.environ, **(env or {})}, cwd=cwd, stdout=self.log, stderr=self.log)
        wait_for(ready)

    def cpu(self):
        with open(f'/proc/{self.process.pid}/stat') as stat:
            fields = stat.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident(self):
        with open(f'/proc/{self.process.pid}/status') as status:
            return int(re.search(r'VmRSS:\s+(\d+)', status.read())[1]) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def ask(url, client, body):
    request = urllib.request.Request(url, body.encode(), {
        'authorization': basic(client), 'content-type': 'application/x-www-form-urlencoded',
    })
    return json.load(urllib.request.urlopen(request, timeout=30))


def basic(client):
    return 'Basic ' + base64.b64encode(':'.join(client).encode()).decode()


def load(server, url, client, body, what):
    script = tempfile.NamedTemporaryFile('w', suffix='.lua')
    script.write(
        f'wrk.method = "POST"\nwrk.body = "{body}"\nwrk.headers["authorization"] = "{basic(client)}"\n'
        'wrk.headers["content-type"] = "application/x-www-form-urlencoded"\n'
    )
    script.flush()
    before = server.cpu()
    out = subprocess.run(
        ['wrk', '-t1', f'-c{CONNECTIONS}', f'-d{SECONDS}s', '--latency', '-s', script.name, url],
        capture_output=True, text=True, check=True,
    ).stdout
    used = server.cpu() - before
    done = int(re.search(r'(\d+) requests in', out)[1])
    rate = float(re.search(r'Requests/sec:\s+([\d.]+)', out)[1])
    p99 = re.search(r'99%\s+(\S+)', out)[1]
    bad = re.search(r'Non-2xx or 3xx responses: (\d+)', out)
    figure = {'rate': rate, 'cpu': used * 1000 / done, 'p99': p99, 'rss': server.resident()}
    print(f'{server.name:<14} {what:<34} {rate:>8.0f}/s  {figure["cpu"]:.3f} ms CPU  p99 {p99:>8}  {figure["rss"]:.0f} MB'
          + (f'  REFUSED {bad[1]}' if bad else ''), flush=True)
    return figure


def seed(path, client, many):
    """Live tokens of one client, as the server would have stored them."""
    now = int(time.time() * 1000)
    with sqlite3.connect(path) as db:
        have = {row[1] for row in db.execute('PRAGMA table_info(oauth2_families)')}
        for start in range(0, many, 10_000):
            part = range(start, min(start + 10_000, many))
            ids = [f'fam_{secrets.token_hex(13).upper()}' for _ in part]
            db.executemany(
                'INSERT INTO oauth2_families (id, client, user_id, scopes, projects, audience, auth_time, created_at, '
                "last_used_at, expires_at, revoked_why) VALUES (?, ?, '', '[\"tickets:read\"]', '[]', 'bench', 0, ?, ?, ?, '')",
                [(one, client, now, now, now + 3_600_000) for one in ids],
            )
            db.executemany(
                'INSERT INTO oauth2_access_tokens (token_hash, family_id, refresh_hash, scopes, created_at, expires_at) '
                "VALUES (?, ?, '', '[\"tickets:read\"]', ?, ?)",
                [(hashlib.sha256(secrets.token_bytes(16)).hexdigest(), one, now, now + 3_600_000) for one in ids],
            )
        assert have
    db.close()


def mailgrant(data):
    port = free_port()
    env = {
        'MAILGRANT_DATA_DIR': data, 'MAILGRANT_LISTEN': f'127.0.0.1:{port}', 'MAILGRANT_LOG_LEVEL': 'warn',
        'MAILGRANT_REQUESTS_PER_TOKEN': '0', 'MAILGRANT_REQUESTS_PER_ADDRESS': '0',
    }
    base = f'http://127.0.0.1:{port}'
    return Server('mailgrant', [PROGRAM, 'serve'], f'{base}/readyz', env), base, env


def main():
    data = tempfile.mkdtemp(prefix='mailgrant-bench-')
    server, base, env = mailgrant(data)
    made = json.loads(subprocess.run(
        [PROGRAM, 'client', 'create', '--name', 'bench', '--grant', 'client_credentials', '--scope', 'tickets:read', '--json'],
        env={**os.environ, **env}, capture_output=True, text=True, check=True,
    ).stdout)
    client = (made['client_id'], made['client_secret'])
    print(f'idle: {server.resident():.0f} MB')
    grant = 'grant_type=client_credentials&scope=tickets:read'
    ours = {}
    token = ask(f'{base}/oauth2/token', client, grant)['access_token']
    ours['introspect'] = load(server, f'{base}/oauth2/introspect', client, f'token={token}', 'introspection')
    ours['issue'] = load(server, f'{base}/oauth2/token', client, grant, 'client credentials, durable')
    server.stop()

    port = free_port()
    script = tempfile.NamedTemporaryFile('w', suffix='.mjs', dir=os.path.join(ROOT, 'tests/services'))
    script.write(PROVIDER)
    script.flush()
    node = os.environ.get('MAILGRANT_TEST_NODE', 'node')
    base = f'http://127.0.0.1:{port}'
    server = Server('oidc-provider', [node, script.name, base], f'{base}/.well-known/openid-configuration',
                    {'NODE_ENV': 'production'}, os.path.join(ROOT, 'tests/services'))
    theirs = {}
    other = ('bench', 'bench-secret-that-is-long-enough')
    token = ask(f'{base}/token', other, grant)['access_token']
    theirs['introspect'] = load(server, f'{base}/token/introspection', other, f'token={token}', 'introspection')
    theirs['issue'] = load(server, f'{base}/token', other, grant, 'client credentials, in memory')
    server.stop()
    per_cpu = theirs['introspect']['cpu'] / ours['introspect']['cpu']
    print(f'introspections per CPU second: {per_cpu:.1f} times; issuance: {ours["issue"]["rate"] / theirs["issue"]["rate"]:.1f} times')

    have = 0
    for many in (1_000, int(os.environ.get('BENCH_TOKENS', '1000000'))):
        seed(os.path.join(data, 'mailgrant.db'), made['id'], many - have)
        have = many
        server, base, _ = mailgrant(data)
        token = ask(f'{base}/oauth2/token', client, grant)['access_token']
        load(server, f'{base}/oauth2/introspect', client, f'token={token}', f'introspection, {many:,} live tokens')
        load(server, f'{base}/oauth2/token', client, grant, f'client credentials, {many:,} live')
        server.stop()


main()
