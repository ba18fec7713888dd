"""A receiver of webhooks that is not ours: PyPI's `standardwebhooks` checks every request.

Argument: {secret} as JSON. Standard output, one JSON on each line: {port}, then for each request
{id, v1, headers, body}, where v1 is "ok" or what the library said. Answers 204 or 400.
"""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

webhook = Webhook(json.loads(sys.argv[1])["secret"])


def tell(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        said = "ok"
        try:
            webhook.verify(body, headers)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        tell({
            "id": headers.get("webhook-id"), "v1": said, "headers": headers,
            "body": base64.b64encode(body).decode(),
        })
        self.send_response(204 if said == "ok" else 400)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
tell({"port": server.server_address[1]})
server.serve_forever()
