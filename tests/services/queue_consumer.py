"""A consumer of a queue, to be killed at any moment: leases, works (a line in a file), acknowledges.

Arguments: base URL, queue, file to append to, its name. Variable TOKEN: a token. Each line of the file is the name, the
event's subject, its sequence and its id.
"""

import json
import os
import random
import sys
import time
import urllib.request
from datetime import datetime

base, queue, path, name = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(what, body):
    request = urllib.request.Request(
        f"{base}/api/v1/queues/{queue}/{what}",
        data=json.dumps(body).encode(),
        headers={"authorization": f"Bearer {os.environ['TOKEN']}", "content-type": "application/json"},
    )
    with opener.open(request, timeout=30) as answer:
        return json.load(answer)


# Appended in one piece, so that lines of several consumers do not mix.
file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
while True:
    lent = post("lease", {"limit": 3, "seconds": 2})
    for item in lent["items"]:
        event = item["event"]
        until = datetime.fromisoformat(lent["until"].replace("Z", "+00:00")).timestamp()
        # Work that begins after the lease ran out may be somebody else's by now.
        if time.time() > until - 0.5:
            break
        os.write(file, f"{name} {event['subjectId']} {event['sequence']} {event['id']}\n".encode())
        time.sleep(random.random() * 0.03)
        post("ack", {"leaseId": lent["leaseId"], "eventIds": [event["id"]]})
    if not lent["items"]:
        time.sleep(0.03)
