"""A cloud runner: serves a tenant's flows over HTTP, always those of one whole version.

    pip install fastapi uvicorn -r DIR/current/app/colophon_rt/requirements.txt
    RUNNER_FLOWS=DIR uvicorn --app-dir docs/examples/runner runner:app

`colophon checkout --watch DIR` keeps DIR at the branch's tip. When `DIR/current` leads to another
version, that version is loaded in a process of its own beside the one that serves; requests go to it
once it has loaded, and the other one ends when its last request is answered. No request fails or waits
for that, and a version that cannot be loaded is never served. Processes are forked from one that has
loaded LangGraph, so that a version costs what its own modules cost.

    GET  /healthz                  200 {"version"}, 503 while there is none
    GET  /flows                    {"version", "flows": [[package, flow], …]}
    POST /flows/{package}/{flow}   {"input": {…}}: {"version", "outputs"}

RUNNER_TOKEN, when it is set, is what `Authorization: Bearer` of flows' callers must hold.
"""

import asyncio
import hmac
import json
import os
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel

FLOWS = Path(os.environ.get("RUNNER_FLOWS", "flows"))
TOKEN = os.environ.get("RUNNER_TOKEN", "")
# What takes long to import and is the same for every version.
PRELOAD = os.environ.get("RUNNER_PRELOAD", "langgraph.graph,httpx")
LOOK_SECONDS = 0.05
# A version that could not be loaded is tried again: a package may have been installed meanwhile.
RETRY_SECONDS = 5.0


class Worker:
    """A process with one version."""

    def __init__(self, version: str, lines: Any, writer: Any) -> None:
        self.version, self.lines, self.writer = version, lines, writer
        self.flows: list[list[str]] = []
        self.waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.count, self.ended = 0, False

    async def load(self) -> None:
        """Waits until the version is loaded; raises when that is not possible."""
        line = await self.lines.readline()
        told = json.loads(line) if line else {"status": 500, "error": "it ended"}
        if told["status"] != 200:
            raise RuntimeError(told["error"])
        self.flows = told["flows"]
        self.reader = asyncio.create_task(self._read())

    async def run(self, package: str, flow: str, given: Any) -> dict[str, Any]:
        self.count += 1
        asked = {"id": self.count, "package": package, "flow": flow, "input": given}
        future = asyncio.get_running_loop().create_future()
        self.waiting[self.count] = future
        self.writer.write(json.dumps(asked).encode() + b"\n")
        return await future

    def retire(self) -> None:
        """Takes no more requests; the process ends when its last one is answered."""
        self.writer.write_eof()

    async def _read(self) -> None:
        try:
            while line := await self.lines.readline():
                told = json.loads(line)
                future = self.waiting.pop(told.pop("id"), None)
                if future and not future.done():  # its caller may have gone
                    future.set_result(told)
        finally:
            self.ended = True
            self.writer.close()
            for future in self.waiting.values():
                if not future.done():
                    future.set_result({"status": 502, "error": "the version ended"})
            self.waiting.clear()


class Nursery:
    """The process that the workers are forked from."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None

    async def worker(self, folder: Path) -> Worker:
        await self.start()
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self.door, [str(folder).encode()], [theirs.fileno()])
        lines, writer = await asyncio.open_unix_connection(sock=ours, limit=16 << 20)
        return Worker(folder.name, lines, writer)

    async def start(self) -> None:
        if self.process and self.process.returncode is None:
            return
        self.door, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("worker.py")),
                stdin=theirs,
                env={**os.environ, "RUNNER_PRELOAD": PRELOAD},
            )


class Versions:
    """Which version serves, and the change to another one."""

    def __init__(self) -> None:
        self.nursery = Nursery()
        self.serving: Worker | None = None

    async def follow(self) -> None:
        seen, since, loop = None, 0.0, asyncio.get_running_loop()
        while True:
            try:
                await self.nursery.start()
                wanted = target()
                late = loop.time() - since > RETRY_SECONDS
                if wanted and (wanted != seen or (late and not self.serves(wanted))):
                    seen, since = wanted, loop.time()
                    await self.change(wanted)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                print(f"the version is not served: {said}", file=sys.stderr, flush=True)
            await asyncio.sleep(LOOK_SECONDS)

    def serves(self, folder: Path) -> bool:
        now = self.serving
        return now is not None and now.version == folder.name and not now.ended

    async def change(self, folder: Path) -> None:
        worker = await self.nursery.worker(folder)
        try:
            await worker.load()
        except BaseException:
            worker.writer.close()
            raise
        before, self.serving = self.serving, worker
        if before and not before.ended:
            before.retire()

    def close(self) -> None:
        if self.serving and not self.serving.ended:
            self.serving.retire()
        if self.nursery.process:
            self.nursery.door.close()


def target() -> Path | None:
    """The version that `current` leads to, by its own path."""
    try:
        return (FLOWS / "current").resolve(strict=True)
    except OSError:
        return None


versions = Versions()


@asynccontextmanager
async def lifespan(_: FastAPI):
    task = asyncio.create_task(versions.follow())
    yield
    task.cancel()
    versions.close()


app = FastAPI(title="Cloud runner", lifespan=lifespan)


class Run(BaseModel):
    """What a flow is run with."""

    input: dict[str, Any] = {}


def allowed(authorization: Annotated[str, Header()] = "") -> None:
    wanted = f"Bearer {TOKEN}"
    if TOKEN and not hmac.compare_digest(authorization.encode(), wanted.encode()):
        raise HTTPException(401, "the token is missing or wrong")


def serving() -> Worker:
    if versions.serving is None or versions.serving.ended:
        raise HTTPException(503, "no version is served yet", {"Retry-After": "1"})
    return versions.serving


@app.get("/healthz")
async def health():
    return {"version": serving().version}


@app.get("/flows", dependencies=[Depends(allowed)])
async def flows():
    worker = serving()
    return {"version": worker.version, "flows": worker.flows}


@app.post("/flows/{package}/{flow}", dependencies=[Depends(allowed)])
async def run(package: str, flow: str, asked: Run):
    worker = serving()
    told = await worker.run(package, flow, asked.input)
    if told["status"] != 200:
        raise HTTPException(told["status"], told["error"])
    return {"version": worker.version, **told["result"]}
