"""A dual flow from the run's start to its result: runner, launcher, Chromium and a shop.

    python end_to_end.py <checkout of the tenant's branch> <unpacked bundle>

The runner and the launcher are processes of their own, and talk over HTTP.
"""

import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

ROOT, BUNDLE = (Path(arg).resolve() for arg in sys.argv[1:3])
FILES = sorted(BUNDLE.iterdir())
sys.dont_write_bytecode = True
sys.path.insert(0, str(BUNDLE))
import colophon_wire as wire

SECRET, TOKEN = "s" * 40, "t" * 40
PAGE = b"""<!doctype html><title>Shop</title>
<input id=password type=password><input id=customer><input id=quantity>
<button onclick="save()">Save</button><div id=shown></div>
<script>
function save() {
  const at = (id) => document.getElementById(id).value;
  const saved = fetch("/orders", {method: "POST", body: JSON.stringify(
    {password: at("password"), customer: at("customer"), quantity: at("quantity")})});
  saved.then((r) => r.text()).then((order) => {
    shown.innerHTML = "<p id=order></p><ul><li>1</li><li>2</li></ul>";
    document.getElementById("order").textContent = order;
  });
}
</script>"""


class Shop:
    """A web page that takes orders and counts them."""

    def __init__(self):
        self.orders = []
        self.open = threading.Event()
        self.open.set()
        shop = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                shop.open.wait()
                self._say(PAGE, "text/html")

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                shop.orders.append(json.loads(self.rfile.read(length)))
                self._say(f"A-{len(shop.orders)}".encode(), "text/plain")

            def _say(self, body, kind):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until(what, ready, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := ready():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def request(url, value=None, headers=None):
    body = None if value is None else json.dumps(value).encode()
    one = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(one, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Dual(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.shop = Shop()
        self.runner_port, self.launcher_port = free_port(), free_port()
        self.runner = f"http://127.0.0.1:{self.runner_port}"
        self.launcher = f"http://127.0.0.1:{self.launcher_port}"
        self.children = {}
        self.addCleanup(self.end)

    def end(self):
        for name in list(self.children):
            self.kill(name)

    def kill(self, name):
        child = self.children.pop(name)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def spawn(self, name, command, cwd, **env):
        log = self.enterContext(open(self.folder / f"{name}.log", "a"))
        self.children[name] = subprocess.Popen(
            [sys.executable, *command],
            cwd=cwd,
            env={**os.environ, **env},
            stderr=log,
            stdout=log,
            start_new_session=True,
        )

    def start_runner(self, secret=SECRET):
        self.spawn(
            "runner",
            [
                "-m",
                "app.runners.acme_inc.sample_dual_runner",
                "--serve",
                f"127.0.0.1:{self.runner_port}",
            ],
            ROOT,
            COLOPHON_EDGE_SECRET=secret,
            COLOPHON_RUNNER_TOKEN=TOKEN,
            COLOPHON_EDGE_URL=self.launcher,
            COLOPHON_CHECKPOINTS=str(self.folder / "runs.sqlite"),
        )
        until("the runner listens", lambda: self.is_up(self.runner, "runner"))

    def start_launcher(self, secret=SECRET, runner=None):
        self.spawn(
            "launcher",
            [
                "colophon_launcher.py",
                "--runner",
                runner or self.runner,
                "--state",
                str(self.folder / "state"),
                "--listen",
                f"127.0.0.1:{self.launcher_port}",
            ],
            BUNDLE,
            COLOPHON_EDGE_SECRET=secret,
            SHOP_PASSWORD="open sesame",
            COLOPHON_CHROMIUM=shutil.which("chromium") or "",
        )
        until("the launcher listens", lambda: self.is_up(self.launcher, "launcher"))

    def is_up(self, url, name):
        if self.children[name].poll() is not None:
            raise AssertionError((self.folder / f"{name}.log").read_text())
        try:
            return request(f"{url}/healthz")[0] == 200
        except OSError:
            return False

    def begin(self, **more):
        given = {"shop_url": self.shop.url, "customer": "M & S", **more}
        status, told = request(
            f"{self.runner}/runs",
            {"input": given},
            {"Authorization": f"Bearer {TOKEN}"},
        )
        self.assertEqual(status, 202, told)
        return told["run_id"]

    def show(self, run_id, headers=None):
        headers = headers or {"Authorization": f"Bearer {TOKEN}"}
        return request(f"{self.runner}/runs/{run_id}", None, headers)

    def wait_for(self, run_id, status):
        def found():
            told = self.show(run_id)[1]
            return told if told.get("status") == status else None

        try:
            return until(f"the run is {status}", found)
        except AssertionError:
            logs = "\n".join(p.read_text() for p in self.folder.glob("*.log"))
            raise AssertionError(f"{self.show(run_id)}\n{logs}") from None

    def notify(
        self, run_id, payload=None, segment="enter_order", message=None, secret=SECRET
    ):
        body = {
            "run_id": run_id,
            "segment": segment,
            "bundle": "sample_dual/python",
            "payload": payload or self.payload(),
        }
        message = message or f"{run_id}/{segment}"
        return wire.send(f"{self.launcher}/edge/notify", secret.encode(), message, body)

    def payload(self):
        return {
            "input.shop_url": self.shop.url,
            "prepare.greeting": "g",
            "prepare.quantity": 1,
        }

    def resume(self, run_id, answer, secret=SECRET, message=None):
        message = message or f"{run_id}/enter_order/answer"
        body = {"run_id": run_id, "segment": "enter_order", **answer}
        return wire.send(
            f"{self.runner}/runs/{run_id}/resume", secret.encode(), message, body
        )

    def test_a_run_goes_to_the_edge_and_comes_back(self):
        self.start_runner()
        self.start_launcher()
        done = self.wait_for(self.begin(quantity=3), "done")
        outputs = {"result": {"order_no": "A-1", "lines": 2, "customer": "M & S"}}
        self.assertEqual(done["outputs"], outputs)
        order = {
            "password": "open sesame",
            "customer": "For M & S {{x}}",
            "quantity": "3",
        }
        self.assertEqual(self.shop.orders, [order])
        # The bundle is what was signed, and no secret stands in what either side keeps.
        self.assertEqual(sorted(BUNDLE.iterdir()), FILES)
        for path in self.folder.rglob("*"):
            if path.is_file():
                self.assertNotIn(b"open sesame", path.read_bytes(), path)

    def test_a_duplicate_gets_the_first_answer_and_runs_nothing(self):
        self.start_launcher(runner=f"http://127.0.0.1:{free_port()}")
        self.shop.open.clear()
        self.assertEqual(self.notify("r1")[0], 202)
        self.assertEqual(self.notify("r1")[0], 202)
        self.assertEqual(
            self.notify("r1", {**self.payload(), "prepare.quantity": 2})[0], 409
        )
        self.shop.open.set()
        _, answer = until("an answer", lambda: (a := self.notify("r1"))[0] == 200 and a)
        result = {"enter_order": {"order_no": "A-1", "lines": 2}}
        self.assertEqual(
            answer, {"run_id": "r1", "segment": "enter_order", "result": result}
        )
        self.kill("launcher")
        self.start_launcher(runner=f"http://127.0.0.1:{free_port()}")
        self.assertEqual(self.notify("r1"), (200, answer))
        self.assertEqual(len(self.shop.orders), 1)

    def test_an_answer_that_was_lost_is_fetched_again(self):
        self.start_runner()
        # The launcher's answers go nowhere: the runner is not where it thinks.
        self.start_launcher(runner=f"http://127.0.0.1:{free_port()}")
        run_id = self.begin()
        self.wait_for(run_id, "waiting")
        until("the order", lambda: self.shop.orders)
        self.kill("runner")
        self.start_runner()
        done = self.wait_for(run_id, "done")
        self.assertEqual(done["outputs"]["result"]["order_no"], "A-1")
        self.assertEqual(len(self.shop.orders), 1)

    def test_a_runner_that_was_down_gets_the_answer_later(self):
        self.start_runner()
        self.start_launcher()
        self.shop.open.clear()
        run_id = self.begin()
        self.wait_for(run_id, "waiting")
        self.kill("runner")
        self.shop.open.set()
        until("the order", lambda: self.shop.orders)
        self.start_runner()
        self.assertEqual(
            self.wait_for(run_id, "done")["outputs"]["result"]["order_no"], "A-1"
        )
        self.assertEqual(len(self.shop.orders), 1)

    def test_a_script_that_was_cut_is_not_run_again(self):
        self.start_runner()
        self.start_launcher()
        self.shop.open.clear()
        run_id = self.begin()
        state = self.folder / "state" / f"{run_id}.enter_order.json"
        until("the start", lambda: state.exists() and '"started"' in state.read_text())
        self.kill("launcher")
        self.start_launcher()
        failed = self.wait_for(run_id, "failed")
        self.assertIn("the launcher ended while the script ran", failed["error"])
        self.shop.open.set()
        self.assertEqual(self.shop.orders, [])

    def test_the_first_answer_to_a_run_counts(self):
        self.start_runner()
        run_id = self.begin()
        self.wait_for(run_id, "waiting")
        result = {"enter_order": {"order_no": "B-7", "lines": 1}}
        self.assertEqual(
            self.resume(run_id, {"result": result})[1]["status"], "resumed"
        )
        again = self.resume(run_id, {"error": "too late"})
        self.assertEqual(again, (200, {"run_id": run_id, "status": "answered before"}))
        self.assertEqual(
            self.wait_for(run_id, "done")["outputs"]["result"]["order_no"], "B-7"
        )

    def test_an_error_at_the_edge_fails_the_run(self):
        self.start_runner()
        run_id = self.begin()
        self.wait_for(run_id, "waiting")
        self.assertEqual(self.resume(run_id, {"error": "no such page"})[0], 200)
        self.assertIn("no such page", self.wait_for(run_id, "failed")["error"])
        again = self.resume(run_id, {"result": {"enter_order": {}}})
        self.assertEqual(again[1]["status"], "answered before")
        self.assertEqual(self.show(run_id)[1]["status"], "failed")

    def test_who_does_not_know_the_secret_gets_nothing(self):
        self.start_runner()
        self.start_launcher(secret="x" * 40)
        run_id = self.begin()
        self.wait_for(run_id, "waiting")
        log = self.folder / "runner.log"
        until("a refusal", lambda: re.search(r"401 .*signature", log.read_text()))
        self.assertEqual(self.show(run_id)[1]["status"], "waiting")
        self.assertEqual(self.resume(run_id, {"result": {}}, secret="y" * 40)[0], 401)
        self.assertEqual(self.notify("r2", secret="z" * 40)[0], 401)
        self.assertEqual(self.show(run_id, {"Authorization": "Bearer no"})[0], 401)
        self.assertEqual(request(f"{self.runner}/runs", {"input": {}})[0], 401)
        self.assertEqual(self.shop.orders, [])

    def test_what_is_malformed_is_refused(self):
        self.start_runner()
        self.start_launcher()
        big = {**self.payload(), "prepare.greeting": "x" * (256 * 1024)}
        for status, call in [
            (413, lambda: self.notify("r3", big)),
            (404, lambda: self.notify("r3", segment="other")),
            (400, lambda: self.notify("../r3")),
            (400, lambda: self.notify("r3", message="r4/enter_order")),
            (400, lambda: self.notify("r3", payload=[1])),
            (404, lambda: self.resume("nobody", {"result": {}})),
            (400, lambda: self.resume("nobody", {"result": {}, "error": "x"})),
            (
                400,
                lambda: self.resume(
                    "nobody", {"result": {}}, message="nobody/enter_order"
                ),
            ),
            (404, lambda: self.show("nobody")),
        ]:
            self.assertEqual(call()[0], status)
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        self.assertEqual(request(f"{self.runner}/runs", {"input": {}}, bearer)[0], 400)
        old = wire.sign(SECRET.encode(), "r5/enter_order", b"{}", time.time() - 301)
        self.assertEqual(request(f"{self.launcher}/edge/notify", {}, old)[0], 401)
        self.assertEqual(list((self.folder / "state").iterdir()), [])

    def test_messages_leave_the_machine_by_https_alone(self):
        self.assertEqual(
            wire.peer("https://runner.example.com/"), "https://runner.example.com"
        )
        self.assertEqual(wire.peer("http://127.0.0.1:1"), "http://127.0.0.1:1")
        for url in [
            "http://runner.example.com",
            "http://127.0.0.1.example.com",
            "ftp://localhost",
        ]:
            with self.assertRaises(SystemExit):
                wire.peer(url)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
