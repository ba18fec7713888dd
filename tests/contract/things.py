#!/usr/bin/env python3
"""One of each thing in a running Mailgrant, and its OpenAPI document with their ids in the place of path parameters.

    things.py URL TOKEN DATABASE > document.json

Whoever tries an interface with ids that nobody gave out sees nothing but 404. What comes with mail (grants, mailboxes,
messages, what goes out) is written into the SQLite file, since there is no mail server here. An operation that removes
something gets one of its own to remove.
"""

import json
import sqlite3
import sys
import time
import urllib.error
import urllib.request

URL, TOKEN, DATABASE = sys.argv[1:]
NOW = int(time.time() * 1000)
LATER = 4_000_000_000_000
MAIL = b"From: Ann <ann@example.org>\r\nTo: help@example.org\r\nSubject: Printer\r\nMessage-ID: <%d@example.org>\r\n\r\nHi\r\n"
FOREIGN = "https://93.184.216.34"


class World:
    def __init__(self):
        self.count = 0
        self.kept = {}
        self.project = self.post("projects", {"key": "HELP", "name": "Help"})["id"]
        other = {"key": "OPS", "name": "Operations", "description": "Nights, too"}
        self.other = self.post("projects", other)["id"]

    def ask(self, path, body=None, kind="application/json"):
        request = urllib.request.Request(f"{URL}/api/v1/{path}")
        request.add_header("Authorization", f"Bearer {TOKEN}")
        if body is not None:
            request.add_header("Content-Type", kind)
            request.add_header("Idempotency-Key", f"thing-{self.number()}")
            request.data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"/{path}: {error.code} {error.read().decode()}")

    def post(self, path, body):
        return self.ask(path, body)

    def number(self):
        self.count += 1
        return self.count

    def insert(self, table, **row):
        with sqlite3.connect(DATABASE, timeout=30) as file:
            places = ", ".join("?" * len(row))
            file.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values()))
        return row.get("id")

    def keep(self, kind):
        if kind not in self.kept:
            self.kept[kind] = self.make(kind)
        return self.kept[kind]

    def make(self, kind):
        """The id of a new thing; None for what there is none of."""
        known = getattr(self, kind.replace("-", "_"), None)
        return known(self.number()) if known else None

    def projects(self, n):
        return self.project

    def jobs(self, n):
        return "tidy_up"

    def integrations(self, n):
        body = {"provider": "google", "name": f"Google {n}", "clientId": "a", "clientSecret": "b"}
        return self.post("integrations", body | {"scopes": ["https://mail.google.com/"]})["id"]

    def authorizations(self, n):
        return self.post(f"integrations/{self.keep('integrations')}/authorizations", {})["id"]

    def webhooks(self, n):
        return self.post("webhooks", {"url": f"{FOREIGN}/{n}", "payload": "thin"})["id"]

    def queues(self, n):
        return self.post("queues", {"name": f"queue-{n}"})["id"]

    def rules(self, n):
        body = {"projectId": self.project, "name": f"Rule {n}", "actions": {"labels": ["x"]}}
        return self.post("rules", body)["id"]

    def tickets(self, n):
        body = {"projectId": self.project, "subject": f"Printer {n}", "note": "By telephone"}
        return self.post("tickets", body)["id"]

    def tokens(self, n):
        return self.post("tokens", {"name": f"Token {n}", "scopes": ["tickets:read"]})["id"]

    def clients(self, n):
        body = {"name": f"Client {n}", "scopes": ["tickets:read"], "grantTypes": ["client_credentials"]}
        return self.post("clients", body)["id"]

    def initial_access_tokens(self, n):
        return self.post("initial-access-tokens", {"name": f"Token {n}", "scopes": ["tickets:read"]})["id"]

    def trusted_issuers(self, n):
        body = {
            "name": f"Company {n}", "issuer": f"https://idp{n}.example", "uses": ["api"], "tokenPrefix": f"p{n}_",
            "audiences": ["mailgrant"], "keySource": "introspection", "introspectionEndpoint": f"{FOREIGN}/introspect",
            "introspectionClientId": "mailgrant", "secret": "a-secret-of-some-length", "subjectMapping": "service",
            "serviceClientId": self.keep("clients"),
        }
        return self.post("trusted-issuers", body)["id"]

    def identity_providers(self, n):
        body = {
            "name": f"Provider {n}", "issuer": f"{FOREIGN}/{n}", "discovery": False, "clientId": "mailgrant",
            "clientSecret": "a-secret", "authorizationEndpoint": f"{FOREIGN}/authorize",
            "tokenEndpoint": f"{FOREIGN}/token", "jwksUri": f"{FOREIGN}/keys",
        }
        return self.post("identity-providers", body)["id"]

    def users(self, n):
        return self.post("users", {"email": f"member{n}@example.org", "name": f"Member {n}"})["id"]

    def audit_events(self, n):
        return self.ask("audit-events?limit=1")["items"][0]["id"]

    def grants(self, n):
        return self.insert(
            "grants", id=f"grt_{n}", integration_id=self.keep("integrations"), flow="authorization_code",
            identity=f"a{n}@example.org", subject="", started_by="cli", access_token_sealed="",
            refresh_token_sealed="", scopes="", state="revoked", issued_at=0, refreshed_at=0, refresh_token_at=0,
            revision=1, created_at=0, updated_at=0,
        )

    def mailboxes(self, n):
        return self.insert(
            "mailboxes", id=f"mbx_{n}", name=f"Box {n}", project_id=self.project, grant_id=self.grants(n),
            protocol="imap", host="127.0.0.1", port=1, tls="implicit", login_name="a", folder="INBOX",
            start_from="now", after_ingest="leave", move_to="", schedule="0 0 * * * *", idle=False,
            max_message_bytes=1000, paused=True, state="new", next_poll_at=LATER, revision=1, created_at=0,
            updated_at=0,
        )

    def tests(self, n):
        return self.insert(
            "connection_tests", id=f"tst_{n}", kind="mailbox", subject_id=self.keep("mailboxes"), state="ok",
            started_by="cli", created_at=NOW, finished_at=NOW,
        )

    def messages(self, n, state="ticketed", reason=""):
        mail = MAIL % n
        parsed = self.ask("messages/parse", mail, "message/rfc822")
        made = self.insert(
            "messages", id=f"msg_{n}", mailbox_id=self.keep("mailboxes"), project_id=self.project,
            content_hash=f"h{n}", size=len(mail), folder="INBOX", uid_validity=1, uid=n, received_at=0, state=state,
            attempts=1, is_partial=False, parsed=json.dumps(parsed), subject="Printer", from_name="Ann",
            from_email="ann@example.org", preview="Hi", sent_at="", has_attachment=False, problem="", ticket_id="",
            entry_id="", quarantine_reason=reason, quarantined_at=0 if reason else None,
        )
        self.insert("message_chunks", message_id=made, position=0, bytes=mail)
        return made

    blobs = messages

    def quarantine(self, n):
        return self.messages(n, "quarantined", "rule")

    def outgoing_mails(self, n, ticket=""):
        made = self.insert(
            "outgoing_mails", id=f"out_{n}", kind="reply" if ticket else "automatic", state="queued",
            project_id=self.project, mailbox_id="", ticket_id=ticket, entry_id="", rfc_message_id=f"{n}@example.org",
            sender="help@example.org", recipients='["ann@example.org"]', subject="Re: Printer", size=3, actor="cli",
            attempts=0, tries=0, unknown_outcomes=0, next_attempt_at=LATER, give_up_at=LATER, revision=1,
            created_at=0, updated_at=0,
        )
        self.insert("outgoing_bodies", outgoing_id=made, bytes=b"abc")
        return made

    def further(self, name, kind, first):
        """The id of a new thing within another."""
        n = self.number()
        if name == "kind":
            return "signature"
        if name == "userId":
            user = self.users(n)
            self.post(f"projects/{first}/members", {"userId": user, "role": "viewer"})
            return user
        if name == "entryId":
            return self.post(f"tickets/{first}/notes", {"text": "x"})["id"]
        if name == "reply":
            return self.outgoing_mails(n, first)
        if name == "delivery":
            return self.post(f"webhooks/{first}/ping", {})["id"]
        if name == "testId":
            return self.post(f"identity-providers/{first}/tests", {})["id"]
        if name == "sessionId":
            return self.insert(
                "oauth2_families", id=f"fam_{n}", client=first, user_id="", scopes='["tickets:read"]', projects="[]",
                audience="", auth_time=0, created_at=0, last_used_at=0, expires_at=LATER, revoked_why="",
            )
        return None

    def fill(self, path, method, parameters):
        """Puts real ids into the parameters of one operation."""
        wanted = [parameter for parameter in parameters if parameter["in"] == "path"]
        kind, first = path.removeprefix("/api/v1/").split("/")[0], None
        for place, parameter in enumerate(wanted):
            removes = method == "delete" and place == len(wanted) - 1
            # What is removed of something stays within it: `/users/{id}/sessions`.
            removes = removes and path.endswith("{" + parameter["name"] + "}")
            # All sessions of the client that is kept are ended by an operation of its own.
            is_own = removes or "{sessionId}" in path
            if place == 0:
                first = value = self.make(kind) if is_own else self.keep(kind)
            else:
                value = first and self.further(parameter["name"], kind, first)
            if value is not None:
                parameter["schema"] = {"type": "string", "enum": [value]}
                parameter["example"] = value


def main():
    world = World()
    with urllib.request.urlopen(f"{URL}/api/openapi.json") as answer:
        document = json.load(answer)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parameters = operation.get("parameters", [])
            # A made-up one is refused with 412 before anything of the change is looked at.
            operation["parameters"] = [one for one in parameters if one["name"] != "If-Match"]
            world.fill(path, method, operation["parameters"])
    json.dump(document, sys.stdout)


main()
