"""Traces of a build in a real Arize Phoenix, asked for through its API. `make test-phoenix` runs it.

It starts Phoenix and `colophon serve`, posts a flow, stops the server (which sends what it still has), and
looks at the spans that Phoenix shows.
"""

import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

COLOPHON, PHOENIX, FLOW = sys.argv[1:4]
PROJECT = "colophon-test"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def until(what, look, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            found = look()
            if found:
                return found
        except OSError:
            pass
        time.sleep(0.5)
    sys.exit(f"not within {seconds} s: {what}")


def start_phoenix(folder, port):
    env = dict(os.environ, PHOENIX_WORKING_DIR=folder, PHOENIX_HOST="127.0.0.1", PHOENIX_PORT=str(port),
               PHOENIX_GRPC_PORT=str(free_port()), PHOENIX_TELEMETRY_ENABLED="false")
    phoenix = subprocess.Popen([PHOENIX, "serve"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until("Phoenix answers", lambda: get(f"http://127.0.0.1:{port}/healthz"))
    return phoenix


def build(data, phoenix):
    env = dict(os.environ, COLOPHON_DATA=data, COLOPHON_GATES_SMOKE="off", COLOPHON_LISTEN="127.0.0.1:0",
               COLOPHON_TELEMETRY_OTLP_ENDPOINT=f"{phoenix}/v1/traces", COLOPHON_TELEMETRY_PROJECT=PROJECT)
    made = subprocess.run([COLOPHON, "--json", "tenant", "create", "acme-inc"], env=env, check=True, capture_output=True)
    secret = json.loads(made.stdout)["webhook_secret"]
    server = subprocess.Popen([COLOPHON, "--json", "serve"], env=env, stdout=subprocess.PIPE)
    url = json.loads(server.stdout.readline())["listening"]
    body = open(FLOW, "rb").read()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Tenant-Slug": "acme-inc", "X-Ap-Signature": f"sha256={signature}"}
    request = urllib.request.Request(f"{url}/build", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 201, answer.status
        record = json.load(answer)
    server.terminate()
    assert server.wait() == 0
    return record


def check(phoenix, record):
    url = f"{phoenix}/v1/projects/{PROJECT}/spans?limit=100"
    spans = until("Phoenix shows the build",
                  lambda: [s for s in json.loads(get(url))["data"] if s["name"].startswith("BUILD")]
                  and json.loads(get(url))["data"])
    by_name = {span["name"]: span for span in spans}
    root, request = by_name["BUILD cloud+edge"], by_name["POST /build"]
    assert root["parent_id"] == request["context"]["span_id"], root
    assert root["span_kind"] == "CHAIN", root
    assert root["attributes"]["cicd.pipeline.run.id"] == record["id"], root
    assert root["attributes"]["colophon.tenant"] == "acme-inc", root
    for stage in ["received", "render", "test", "commit"]:
        assert by_name[stage]["parent_id"] == root["context"]["span_id"], by_name[stage]
    print("Phoenix shows:", ", ".join(sorted(by_name)))


def main():
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        phoenix = start_phoenix(folder, port)
        try:
            url = f"http://127.0.0.1:{port}"
            check(url, build(os.path.join(folder, "data"), url))
        finally:
            phoenix.terminate()
            phoenix.wait()


main()
