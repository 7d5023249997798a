"""Runs the scripts of this bundle when a runner in the cloud asks for it.

    python colophon_launcher.py --runner https://runner.example.com --state DIR

`POST /edge/notify` takes {"run_id", "segment", "bundle", "payload"}, signed (see colophon_wire.py),
and answers 202. The script runs once, one script at a time, and its answer is sent to the runner's
`/runs/<run_id>/resume` until that takes it. Asked again for the same segment of the same run, the
launcher does not run anything: it answers 202 until there is an answer, and then 200 with that.

What was asked and answered is kept in the state folder, so that a restart repeats nothing: a script
that was running when the launcher ended is answered for with an error.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

# A bundle is as it was signed: nothing is written into its folder.
sys.dont_write_bytecode = True

import colophon_wire as wire  # noqa: E402

MAX_OUTPUT = wire.MAX_PAYLOAD
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0
KEEP_SECONDS = 30 * 24 * 3600


class Jobs:
    """What was asked for, one file each.

    A job is accepted, started, answered, and at last delivered.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, run_id: str, segment: str) -> Path:
        return self.folder / f"{run_id}.{segment}.json"

    def find(self, run_id: str, segment: str) -> dict[str, Any] | None:
        """The job, when it was asked for."""
        try:
            return json.loads(self._path(run_id, segment).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def keep(self, job: dict[str, Any]) -> None:
        """Keeps the job; it is on the disk when this returns."""
        path = self._path(job["run_id"], job["segment"])
        part = path.with_suffix(".part")
        with open(
            os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
        ) as file:
            json.dump(job, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)

    def all(self) -> list[dict[str, Any]]:
        """Every job, after those that are long done were forgotten."""
        jobs = []
        for path in sorted(self.folder.glob("*.json")):
            job = json.loads(path.read_text(encoding="utf-8"))
            if job["is"] == "delivered" and job["at"] + KEEP_SECONDS < time.time():
                path.unlink()
            else:
                jobs.append(job)
        return jobs


class Launcher:
    """The scripts of one bundle."""

    def __init__(self, bundle: Path, jobs: Jobs, runner: str, limit: float) -> None:
        manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
        self.bundle = bundle
        self.name = f"{manifest['flow']}/{manifest['runtime']}"
        self.runtime: str = manifest["runtime"]
        self.scripts: dict[str, str] = manifest["entrypoints"]
        self.variables: list[str] = sorted(manifest["env"])
        self.jobs, self.runner, self.limit = jobs, runner, limit
        self.key = wire.secret()
        self.lock = threading.Lock()
        self.to_run: queue.Queue[dict[str, Any]] = queue.Queue()
        self.to_send: queue.Queue[dict[str, Any]] = queue.Queue()

    def start(self) -> None:
        """Takes up what was left, and begins to work."""
        for job in self.jobs.all():
            if job["is"] == "accepted":
                self.to_run.put(job)
            elif job["is"] == "started":
                text = (
                    "the launcher ended while the script ran; it may have had effects"
                )
                self._answered(job, {"error": text})
            elif job["is"] == "answered":
                self.to_send.put(job)
        for work in (self._run_all, self._send_all):
            threading.Thread(target=work, daemon=True).start()

    def handle(self, method: str, path: str, headers: Any, body: bytes) -> wire.Answer:
        """Answers one request."""
        if (method, path) == ("GET", "/healthz"):
            return 200, {"bundle": self.name}
        if (method, path) != ("POST", "/edge/notify"):
            raise wire.Refused(404, "there is only POST /edge/notify")
        message = wire.verify(self.key, headers, body, time.time())
        asked = self._read(message, wire.read_json(body))
        with self.lock:
            job = self.jobs.find(asked["run_id"], asked["segment"])
            if job is None:
                job = {**asked, "is": "accepted", "at": time.time()}
                self.jobs.keep(job)
                self.to_run.put(job)
        if job["digest"] != asked["digest"]:
            raise wire.Refused(
                409, "this segment of this run was asked for with another payload"
            )
        if "answer" in job:
            return 200, job["answer"]
        return 202, {
            "run_id": job["run_id"],
            "segment": job["segment"],
            "status": job["is"],
        }

    def _read(self, message: str, asked: dict[str, Any]) -> dict[str, Any]:
        run_id, segment = asked.get("run_id"), asked.get("segment")
        if not isinstance(run_id, str) or not wire.ID.fullmatch(run_id):
            raise wire.Refused(400, "run_id is 1 to 64 letters, digits, `_` and `-`")
        if not isinstance(segment, str) or segment not in self.scripts:
            raise wire.Refused(404, "this bundle has no such segment")
        if asked.get("bundle") != self.name:
            raise wire.Refused(404, f"this is the bundle {self.name}")
        if message != f"{run_id}/{segment}":
            raise wire.Refused(400, "webhook-id is <run_id>/<segment>")
        payload = asked.get("payload")
        if not isinstance(payload, dict):
            raise wire.Refused(400, "the payload is an object")
        plain = json.dumps(payload, sort_keys=True).encode()
        if len(plain) > wire.MAX_PAYLOAD:
            raise wire.Refused(
                413, f"the payload is larger than {wire.MAX_PAYLOAD} bytes"
            )
        digest = hashlib.sha256(plain).hexdigest()
        return {
            "run_id": run_id,
            "segment": segment,
            "payload": payload,
            "digest": digest,
        }

    def _run_all(self) -> None:
        while True:
            job = self.to_run.get()
            self._change(job, {"is": "started"})
            try:
                answer = self._run(job)
            except Exception as error:
                answer = {
                    "error": f"the script could not be run: {type(error).__name__}"
                }
            self._answered(job, answer)

    def _run(self, job: dict[str, Any]) -> dict[str, Any]:
        """What the script says: {"result"} or {"error"}."""
        env = {name: os.environ[name] for name in self.variables if name in os.environ}
        given = {"run_id": job["run_id"], "payload": job["payload"], "env": env}
        inherited = {k: v for k, v in os.environ.items() if k != "COLOPHON_EDGE_SECRET"}
        inherited["PYTHONDONTWRITEBYTECODE"] = "1"
        command = [
            *interpreter(self.runtime),
            str(self.bundle / self.scripts[job["segment"]]),
        ]
        try:
            done = subprocess.run(
                command,
                input=json.dumps(given).encode(),
                stdout=subprocess.PIPE,
                cwd=self.bundle,
                env=inherited,
                timeout=self.limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"error": f"the script ran longer than {self.limit:g} seconds"}
        if len(done.stdout) > MAX_OUTPUT:
            return {"error": f"the result is larger than {MAX_OUTPUT} bytes"}
        try:
            answer = wire.read_answer(wire.read_json(done.stdout))
        except wire.Refused:
            return {
                "error": f"the script ended with {done.returncode} and without an answer"
            }
        return {name: answer[name] for name in ("result", "error") if name in answer}

    def _answered(self, job: dict[str, Any], answer: dict[str, Any]) -> None:
        who = {"run_id": job["run_id"], "segment": job["segment"]}
        self._change(
            job, {"is": "answered", "answer": {**who, **answer}, "payload": None}
        )
        self.to_send.put(job)

    def _change(self, job: dict[str, Any], change: dict[str, Any]) -> None:
        with self.lock:
            job.update(change, at=time.time())
            self.jobs.keep(job)

    def _send_all(self) -> None:
        while True:
            job = self.to_send.get()
            threading.Thread(target=self._deliver, args=(job,), daemon=True).start()

    def _deliver(self, job: dict[str, Any]) -> None:
        """Sends the answer until the runner takes it, or says that it never will."""
        url = f"{self.runner}/runs/{job['run_id']}/resume"
        message = f"{job['run_id']}/{job['segment']}/answer"
        wait = FIRST_RETRY_SECONDS
        while True:
            try:
                status, told = wire.send(url, self.key, message, job["answer"])
            except (OSError, wire.Refused) as error:
                status, told = 0, {"error": str(error)}
            if status in (200, 202, 400, 404, 409, 413):
                if status not in (200, 202):
                    print(f"{message}: {status} {told}", file=sys.stderr)
                self._change(job, {"is": "delivered"})
                return
            print(f"{message}: {status} {told}; again in {wait:g} s", file=sys.stderr)
            time.sleep(wait)
            wait = min(wait * 2, LAST_RETRY_SECONDS)


def interpreter(runtime: str) -> list[str]:
    """The command before the script's path."""
    if runtime == "python":
        return [sys.executable]
    if runtime == "ps1":
        found = shutil.which("pwsh") or shutil.which("powershell")
        if found is None:
            raise FileNotFoundError("PowerShell is not installed")
        return [
            found,
            "-NoProfile",
            "-NonInteractive",
            "-ExecutionPolicy",
            "Bypass",
            "-File",
        ]
    found = os.environ.get("COLOPHON_AUTOHOTKEY") or shutil.which("AutoHotkey64")
    if found is None:
        raise FileNotFoundError(
            "AutoHotkey v2 is not installed; COLOPHON_AUTOHOTKEY names it"
        )
    return [found, "/ErrorStdOut"]


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(
        description="Runs this bundle's scripts for a runner."
    )
    parser.add_argument(
        "--runner", required=True, help="where answers go, such as https://…"
    )
    parser.add_argument(
        "--state", required=True, type=Path, help="folder of what was asked"
    )
    parser.add_argument("--listen", default="127.0.0.1:8791", help="host:port")
    parser.add_argument(
        "--time-limit", type=float, default=3600.0, help="seconds per script"
    )
    args = parser.parse_args()
    bundle = Path(__file__).resolve().parent
    launcher = Launcher(
        bundle, Jobs(args.state), wire.peer(args.runner), args.time_limit
    )
    server = wire.server(args.listen, launcher.handle)
    launcher.start()
    host, port = server.server_address[:2]
    print(f"{launcher.name}: listening on {host}:{port}", file=sys.stderr, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
