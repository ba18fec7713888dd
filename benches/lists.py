#!/usr/bin/env python3
"""What lists cost when there is much in them: p50 and p99 of GET /tickets and GET /events, few rows beside many.

    benches/lists.py                            SQLite, 1,000 and 1,000,000 rows
    benches/lists.py --database postgres        the same on a PostgreSQL of its own
    benches/lists.py --rows 1000 100000 --requests 500

Starts the built program (target/debug/mailgrant, or --program) on databases that it fills by SQL, asks over HTTP, and
prints a table; the last column is how much the p99 grows from few rows to many. Standard library only.
"""
import argparse
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# What is asked. HELP has every second ticket, those of one mailbox; one ticket in a thousand is urgent, and of another
# mailbox; one in ten is labelled.
QUESTIONS = [
    ("tickets", "/tickets?limit=50"),
    ("tickets, 200 of them", "/tickets?limit=200"),
    ("tickets, a page in the middle", "/tickets?limit=50&after={tickets}"),
    ("tickets of a project that are open", "/tickets?limit=50&project=HELP&state=open"),
    ("tickets of nobody", "/tickets?limit=50&assigneeId=none&state=open"),
    ("tickets of a person", "/tickets?limit=50&assigneeId=usr_7"),
    ("tickets, urgent ones", "/tickets?limit=50&priority=urgent"),
    ("tickets with a label", "/tickets?limit=50&label=vip"),
    ("tickets of a mailbox that has half of them", "/tickets?limit=50&mailboxId=mbx_half"),
    ("tickets of a mailbox that has few", "/tickets?limit=50&mailboxId=mbx_few"),
    ("tickets, most urgent first", "/tickets?limit=50&sort=priority"),
    ("tickets, longest untouched first", "/tickets?limit=50&sort=waiting"),
    ("tickets, newest first", "/tickets?limit=50&sort=created"),
    ("one ticket", "/tickets/HELP-2"),
    ("events from the beginning", "/events?limit=50"),
    ("events, 200 of them", "/events?limit=200"),
    ("events from the middle", "/events?limit=50&after={events}"),
    ("events of a project", "/events?limit=50&project=HELP"),
    ("events of a type that is half of them", "/events?limit=50&types=ticket.created"),
    ("events of a type that is rare", "/events?limit=50&types=grant.expired"),
]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Postgres:
    """A cluster of its own; as root, PostgreSQL runs as the user `postgres`."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="mailgrant-bench-", dir="/tmp")
        found = sorted(d for d in os.listdir("/usr/lib/postgresql") if os.path.exists(f"/usr/lib/postgresql/{d}/bin/initdb"))
        self.bin = f"/usr/lib/postgresql/{found[-1]}/bin"
        self.as_user = []
        if os.getuid() == 0:
            self.as_user = ["runuser", "-u", "postgres", "--"]
            shutil.chown(self.directory, "postgres")
        data, self.port = f"{self.directory}/data", free_port()
        self.run(f"{self.bin}/initdb", "-D", data, "-U", "bench", "--auth=trust", "-E", "UTF8")
        options = f"-p {self.port} -k {self.directory} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.run(f"{self.bin}/pg_ctl", "-D", data, "-w", "-l", f"{self.directory}/log", "-o", options, "start")

    def run(self, *words):
        subprocess.run([*self.as_user, *words], check=True, stdout=subprocess.DEVNULL)

    def create(self, name):
        self.sql("postgres", f"CREATE DATABASE {name}")
        return f"postgres://bench@127.0.0.1:{self.port}/{name}"

    def sql(self, name, text):
        words = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench", name]
        subprocess.run(words, input=text.encode(), check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        self.run(f"{self.bin}/pg_ctl", "-D", f"{self.directory}/data", "-m", "immediate", "stop")
        shutil.rmtree(self.directory, ignore_errors=True)


class Mailgrant:
    def __init__(self, program, url):
        self.directory = tempfile.mkdtemp(prefix="mailgrant-bench-", dir="/tmp")
        self.port = free_port()
        self.url = url or f"sqlite:{self.directory}/data/mailgrant.sqlite"
        self.environment = {
            "PATH": os.environ["PATH"], "MAILGRANT_DATA_DIR": f"{self.directory}/data",
            "MAILGRANT_LISTEN": f"127.0.0.1:{self.port}", "MAILGRANT_BASE_URL": f"http://127.0.0.1:{self.port}",
            "MAILGRANT_DATABASE_URL": self.url,
        }
        self.program, self.process = program, None

    def command(self, *words):
        out = subprocess.run([self.program, *words], env=self.environment, check=True, capture_output=True)
        return json.loads(out.stdout)

    def start(self):
        log = open(f"{self.directory}/log", "w")
        self.process = subprocess.Popen([self.program, "serve"], env=self.environment, stdout=log, stderr=log)
        for _ in range(600):
            try:
                if self.ask("/readyz", "")[0] == 200:
                    return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"it does not start; see {self.directory}/log")

    def ask(self, path, token, connection=None):
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        own.request("GET", path, headers={"authorization": f"Bearer {token}"} if token else {})
        answer = own.getresponse()
        return answer.status, answer.read()

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    def remove(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


def statements(rows, projects, is_postgres):
    """The SQL that fills a database: tickets, labels, mailboxes and events, two projects."""
    numbers = (f"(SELECT generate_series(1, {rows}) AS n)" if is_postgres else
               f"(WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {rows}) SELECT n FROM g)")
    text = "CAST(n AS TEXT)"
    # Ids look like ours: 26 characters behind their prefix.
    zeros = f"'{'0' * 26}' || {text}"
    name = f"right({zeros}, 26)" if is_postgres else f"substr({zeros}, -26)"
    # The mixed order of changes is made of the number, so that both databases hold the same.
    yield f"""INSERT INTO tickets (id, project_id, number, key, subject, requester_name, requester_email, state, assignee_id,
        labels, priority, search_text, entry_count, revision, created_at, updated_at)
        SELECT 'tkt_' || {name}, CASE WHEN n % 2 = 0 THEN '{projects[0]}' ELSE '{projects[1]}' END, n,
        CASE WHEN n % 2 = 0 THEN 'HELP-' ELSE 'OPS-' END || {text}, 'Printer ' || {text} || ' is on fire', 'Ada Lovelace',
        'ada@example.test', CASE WHEN n % 3 = 0 THEN 'closed' ELSE 'open' END,
        CASE WHEN n % 5 = 0 THEN 'usr_' || CAST(n % 97 AS TEXT) ELSE '' END, '[]',
        CASE WHEN n % 1000 = 0 THEN 'urgent' ELSE 'normal' END, '', 0, 1, 1700000000000 + n,
        1700000000000 + (n * 7919) % {rows} FROM {numbers} AS numbers"""
    yield f"""INSERT INTO ticket_labels (label, ticket_id) SELECT 'vip', 'tkt_' || {name} FROM {numbers} AS numbers
        WHERE n % 10 = 0"""
    # What triggers note when a message is placed.
    for mailbox, part in (("mbx_half", 2), ("mbx_few", 1000)):
        yield f"""INSERT INTO ticket_mailboxes (mailbox_id, ticket_id, project_id, updated_at, created_at, urgency)
            SELECT '{mailbox}', id, project_id, updated_at, created_at,
            CASE priority WHEN 'urgent' THEN 3 ELSE 1 END * 100000000000000 + updated_at
            FROM tickets WHERE number % {part} = 0"""
    sequence = ", sequence" if is_postgres else ""
    place = ", n" if is_postgres else ""
    yield f"""INSERT INTO events (id, type, project_id, subject_id, actor, data, created_at, order_key{sequence})
        SELECT 'evt_' || {name}, CASE WHEN n % 1000 = 0 THEN 'grant.expired' WHEN n % 2 = 0 THEN 'ticket.created'
        ELSE 'ticket.updated' END, CASE WHEN n % 2 = 0 THEN '{projects[0]}' ELSE '{projects[1]}' END, 'tkt_' || {name},
        'system', '{{"key":"HELP-1"}}', 1700000000000 + n, 'tkt_' || {name}{place} FROM {numbers} AS numbers"""
    if is_postgres:
        yield f"UPDATE event_log SET last = {rows}"


def fill(mailgrant, postgres, name, rows, projects):
    if postgres:
        # What starting the service left in the log goes, so that places begin at 1.
        text = "DELETE FROM events; UPDATE event_log SET last = 0;\n" + ";\n".join(statements(rows, projects, True))
        postgres.sql(name, text + ";\nVACUUM ANALYZE;\n")
        return
    database = sqlite3.connect(mailgrant.url.removeprefix("sqlite:"))
    for statement in statements(rows, projects, False):
        database.execute(statement)
    database.commit()
    database.execute("ANALYZE") if os.environ.get("MAILGRANT_BENCH_ANALYZE") else None
    database.close()


def prepared(arguments, postgres, rows):
    """A running service with this many rows, and a token for it."""
    name = f"rows_{rows}"
    mailgrant = Mailgrant(arguments.program, postgres.create(name) if postgres else None)
    mailgrant.start()
    token = mailgrant.command("token", "create", "--name", "bench", "--json")["token"]
    projects = []
    for key in ("HELP", "OPS"):
        connection = http.client.HTTPConnection("127.0.0.1", mailgrant.port)
        connection.request("POST", "/api/v1/projects", json.dumps({"key": key, "name": key}),
                           {"authorization": f"Bearer {token}", "content-type": "application/json"})
        projects.append(json.loads(connection.getresponse().read())["id"])
    mailgrant.stop()
    began = time.time()
    fill(mailgrant, postgres, name, rows, projects)
    print(f"{rows:,} rows filled in {time.time() - began:.0f} s", file=sys.stderr)
    mailgrant.start()
    return mailgrant, token


def middle(mailgrant, token, path, rows):
    """A cursor that is far from both ends."""
    if path == "/events":
        import base64
        return base64.urlsafe_b64encode(f"e1.{rows // 2}".encode()).decode().rstrip("=")
    found = json.loads(mailgrant.ask(f"/api/v1{path}?limit=200", token)[1])
    for _ in range(min(20, rows // 400)):
        found = json.loads(mailgrant.ask(found["next"], token)[1])
    return re.search(r"after=([^&]+)", found["next"]).group(1)


def measure(services, paths, requests):
    """p50 and p99 in milliseconds of each service, asked in turns: what else the machine does is the same for both."""
    # A token for each question: how often one may ask in a minute is no part of what is measured.
    tokens = [service.command("token", "create", "--name", "bench", "--json")["token"] for service in services]
    connections = [http.client.HTTPConnection("127.0.0.1", service.port, timeout=120) for service in services]
    times = [[] for _ in services]
    for number in range(requests + 20):
        for service, path, token, connection, own in zip(services, paths, tokens, connections, times):
            began = time.perf_counter()
            status, body = service.ask(path, token, connection)
            took = time.perf_counter() - began
            if status != 200:
                sys.exit(f"{path}: {status} {body[:300]}")
            # The first ones warm up.
            if number >= 20:
                own.append(took * 1000)
    results = []
    for own in times:
        own.sort()
        results += [own[min(len(own) - 1, int(len(own) * part))] for part in (0.5, 0.99)]
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--rows", type=int, nargs=2, default=[1_000, 1_000_000], metavar=("FEW", "MANY"))
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--program", default=os.path.join(ROOT, "target/debug/mailgrant"))
    arguments = parser.parse_args()
    postgres = Postgres() if arguments.database == "postgres" else None
    running = []
    try:
        for rows in arguments.rows:
            running.append((rows, *prepared(arguments, postgres, rows)))
        cursors = [{"tickets": middle(m, t, "/tickets", n), "events": middle(m, t, "/events", n)} for n, m, t in running]
        few, many = (f"{rows:,}" for rows in arguments.rows)
        print(f"| {arguments.database}, ms | p50 at {few} | p99 | p50 at {many} | p99 | p99 grows |\n|---|---:|---:|---:|---:|---:|")
        for name, path in QUESTIONS:
            services = [mailgrant for _, mailgrant, _ in running]
            paths = ["/api/v1" + path.format(**cursor) for cursor in cursors]
            p50, p99, more50, more99 = measure(services, paths, arguments.requests)
            print(f"| {name} | {p50:.2f} | {p99:.2f} | {more50:.2f} | {more99:.2f} | {more99 / p99:.2f}x |", flush=True)
    finally:
        for _, mailgrant, _ in running:
            mailgrant.remove()
        if postgres:
            postgres.stop()


if __name__ == "__main__":
    main()
