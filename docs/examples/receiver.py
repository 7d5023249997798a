"""Receives colophon's webhooks and runs a command for every new build: `git pull` and a reload for a runner of
LangServe, `edge-fetch apply` for a launcher at the edge.

    pip install standardwebhooks
    WEBHOOK_SECRET=whsec_… python receiver.py 127.0.0.1:8010 state.json -- sh -c 'git pull --ff-only && systemctl --user reload runner'

The command finds COLOPHON_FLOW, COLOPHON_KIND, COLOPHON_COMMIT, COLOPHON_BRANCH, COLOPHON_BUILD and, for flows
with an edge part, COLOPHON_EDGE_SHA256 and COLOPHON_EDGE_MANIFEST_URL in its environment. Put a proxy with TLS
before it where others can reach it.
"""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from standardwebhooks import Webhook, WebhookVerificationError

LARGEST = 1 << 20

address, state = sys.argv[1], Path(sys.argv[2])
command = sys.argv[sys.argv.index("--") + 1 :]
# Several while a secret is rotated, with a space between them.
webhooks = [Webhook(secret) for secret in os.environ["WEBHOOK_SECRET"].split()]
# The number of the newest build that each flow was brought to. What comes twice or late is known by it.
newest = json.loads(state.read_text()) if state.exists() else {}


def verified(body, headers):
    for webhook in webhooks:
        try:
            return webhook.verify(body, headers)
        except WebhookVerificationError:
            continue
    return None


def take(event):
    """Whether the event was taken. One that was not is sent again."""
    if event["type"] != "build.succeeded":
        return True
    data = event["data"]
    if data["number"] <= newest.get(data["flow"], 0):
        return True  # an earlier one, or the same once more
    named = {name: str(data[name]) for name in ("flow", "kind", "commit", "branch", "build")}
    for output in data["outputs"]:
        if "edge" in output:
            named["edge_sha256"] = output["edge"]["edge_sha256"]
            named["edge_manifest_url"] = output["edge"]["manifest_url"]
    named = {f"COLOPHON_{name.upper()}": value for name, value in named.items()}
    if subprocess.run(command, env={**os.environ, **named}).returncode != 0:
        return False
    newest[data["flow"]] = data["number"]
    aside = state.with_suffix(".new")
    aside.write_text(json.dumps(newest))
    aside.replace(state)
    return True


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > LARGEST:
            return self.answer(413)
        event = verified(self.rfile.read(length), dict(self.headers.items()))
        if event is None:
            return self.answer(401)
        self.answer(204 if take(event) else 500)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()


host, port = address.rsplit(":", 1)
# One at a time: a command must not run beside itself.
server = HTTPServer((host, int(port)), Receiver)
print(f"listening on {host}:{server.server_port}", flush=True)
server.serve_forever()
