"""Runs of one flow over HTTP, with work at the edge handed over and taken back.

    POST /runs                 {"input"}: starts a run, 202 {"run_id", "status"}
    GET  /runs/<run_id>        {"run_id", "status", …}; running, waiting, done, failed or stopped
    POST /runs/<run_id>/resume an edge's answer, signed: {"run_id", "segment", "result" | "error"}

The first two ask for `Authorization: Bearer` with COLOPHON_RUNNER_TOKEN. A run that comes to a segment
is stopped and kept before the launcher at COLOPHON_EDGE_URL is notified, and the launcher is asked
again until it answers. With COLOPHON_CHECKPOINTS, a file, waiting runs outlive a restart.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langgraph.types import Command

from app.colophon_rt import builder, wire

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0
MIN_TOKEN = 32


class Runs:
    """The runs of one flow. Lives on one event loop."""

    def __init__(self, flow: Any, graph: Any, edge: str, key: bytes) -> None:
        self.flow, self.graph, self.edge, self.key = flow, graph, edge, key
        self.busy: dict[str, asyncio.Lock] = {}
        self.asking: set[tuple[str, str]] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def start(self, data: Any) -> str:
        """Starts a run, and says by which id it is known."""
        given = {"input": builder.read_input(self.flow.INPUTS, data)}
        run_id = uuid.uuid4().hex
        self.busy[run_id] = asyncio.Lock()
        self._begin(self._drive(run_id, given))
        return run_id

    async def take_up(self) -> None:
        """Asks again for every segment that a run waits for."""
        kept = self.graph.checkpointer.alist(None)
        runs = {one.config["configurable"]["thread_id"] async for one in kept}
        for run_id in sorted(runs):
            await self._ask(run_id)

    async def show(self, run_id: str) -> dict[str, Any]:
        """Where a run stands."""
        state = await self.graph.aget_state(_config(run_id))
        shown: dict[str, Any] = {"run_id": run_id}
        errors = [task.error for task in state.tasks if task.error]
        lock = self.busy.get(run_id)
        if lock and (lock.locked() or not state.created_at):
            return {**shown, "status": "running"}
        if not state.created_at:
            raise wire.Refused(404, "there is no such run")
        if errors:
            return {**shown, "status": "failed", "error": str(errors[0])}
        if waiting := [i.value["segment"] for i in state.interrupts]:
            return {**shown, "status": "waiting", "segments": waiting}
        if state.next:
            return {**shown, "status": "stopped"}
        out = state.values.get("out", {})
        outputs = {node: out[node] for node in self.flow.OUTPUTS if node in out}
        return {**shown, "status": "done", "outputs": outputs}

    async def resume(self, run_id: str, answer: dict[str, Any]) -> dict[str, Any]:
        """Takes an edge's answer. The first one counts: later ones change nothing."""
        lock = self.busy.setdefault(run_id, asyncio.Lock())
        async with lock:
            state = await self.graph.aget_state(_config(run_id))
            if not state.created_at:
                del self.busy[run_id]
                raise wire.Refused(404, "there is no such run")
            failed = any(task.error for task in state.tasks)
            waiting = [
                i for i in state.interrupts if i.value["segment"] == answer["segment"]
            ]
            if not waiting or failed:
                if failed or answer["segment"] in state.values.get("went", {}):
                    return {"run_id": run_id, "status": "answered before"}
                raise wire.Refused(409, "the run does not wait for this segment")
            given = {
                name: answer[name] for name in ("result", "error") if name in answer
            }
            command = Command(resume={waiting[0].id: given})
            await self._invoke(run_id, command)
        self._begin(self._ask(run_id))
        return {"run_id": run_id, "status": "resumed"}

    async def _drive(self, run_id: str, given: Any) -> None:
        async with self.busy[run_id]:
            await self._invoke(run_id, given)
        await self._ask(run_id)

    async def _invoke(self, run_id: str, given: Any) -> None:
        try:
            await self.graph.ainvoke(given, _config(run_id), durability="sync")
        except Exception as error:
            print(f"run {run_id}: {type(error).__name__}: {error}", file=sys.stderr)

    async def _ask(self, run_id: str) -> None:
        """Notifies the launcher of every segment that the run waits for."""
        state = await self.graph.aget_state(_config(run_id))
        if any(task.error for task in state.tasks):
            return
        for waiting in state.interrupts:
            if (run_id, waiting.value["segment"]) not in self.asking:
                self._begin(self._notify(run_id, waiting.value))

    async def _notify(self, run_id: str, request: dict[str, Any]) -> None:
        """Asks until the launcher takes the work, refuses it, or has done it before."""
        segment = request["segment"]
        self.asking.add((run_id, segment))
        wait = FIRST_RETRY_SECONDS
        try:
            while True:
                status, told = await asyncio.to_thread(self._send, run_id, request)
                if status == 200:
                    await self.resume(run_id, told)
                if status in (200, 202):
                    return
                if status in (400, 404, 409, 413):
                    error = (
                        f"the launcher refused the work: {status} {told.get('error')}"
                    )
                    refusal = {"run_id": run_id, "segment": segment, "error": error}
                    await self.resume(run_id, refusal)
                    return
                print(f"run {run_id}/{segment}: {status} {told}", file=sys.stderr)
                await asyncio.sleep(wait)
                wait = min(wait * 2, LAST_RETRY_SECONDS)
        finally:
            self.asking.discard((run_id, segment))

    def _send(self, run_id: str, request: dict[str, Any]) -> wire.Answer:
        message = f"{run_id}/{request['segment']}"
        try:
            status, told = wire.send(
                f"{self.edge}/edge/notify",
                self.key,
                message,
                {"run_id": run_id, **request},
            )
            return (status, wire.read_answer(told)) if status == 200 else (status, told)
        except (OSError, wire.Refused) as error:
            return 0, {"error": str(error)}

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


def _config(run_id: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": run_id}}


class Door:
    """Turns requests into calls on the loop where the runs live."""

    def __init__(self, runs: Runs, loop: asyncio.AbstractEventLoop, token: str) -> None:
        self.runs, self.loop, self.token = runs, loop, token

    def handle(self, method: str, path: str, headers: Any, body: bytes) -> wire.Answer:
        """Answers one request."""
        match (method, *path.strip("/").split("/")):
            case ("GET", "healthz"):
                return 200, {"status": "ok"}
            case ("POST", "runs"):
                self._check_token(headers)
                try:
                    given = self._call(
                        self.runs.start(wire.read_json(body).get("input", {}))
                    )
                except builder.InvalidInput as error:
                    raise wire.Refused(400, str(error)) from None
                return 202, {"run_id": given, "status": "running"}
            case ("GET", "runs", run_id) if wire.ID.fullmatch(run_id):
                self._check_token(headers)
                return 200, self._call(self.runs.show(run_id))
            case ("POST", "runs", run_id, "resume") if wire.ID.fullmatch(run_id):
                return 200, self._call(
                    self.runs.resume(run_id, self._answer(run_id, headers, body))
                )
        raise wire.Refused(404, "there is no such page")

    def _answer(self, run_id: str, headers: Any, body: bytes) -> dict[str, Any]:
        message = wire.verify(self.runs.key, headers, body, time.time())
        answer = wire.read_answer(wire.read_json(body))
        if (
            answer["run_id"] != run_id
            or message != f"{run_id}/{answer['segment']}/answer"
        ):
            raise wire.Refused(
                400, "webhook-id is <run_id>/<segment>/answer, of this run"
            )
        return answer

    def _check_token(self, headers: Any) -> None:
        given = headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            raise wire.Refused(401, "the token is missing or wrong")

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


@asynccontextmanager
async def _checkpoints() -> AsyncIterator[Any]:
    """Where runs are kept: COLOPHON_CHECKPOINTS, or memory."""
    path = os.environ.get("COLOPHON_CHECKPOINTS")
    if path:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        async with AsyncSqliteSaver.from_conn_string(path) as saver:
            yield saver
        return
    from langgraph.checkpoint.memory import InMemorySaver

    print(
        "COLOPHON_CHECKPOINTS is not set: a restart forgets every run", file=sys.stderr
    )
    yield InMemorySaver()


async def _serve(flow: Any, listen: str) -> None:
    token = os.environ.get("COLOPHON_RUNNER_TOKEN", "")
    if len(token) < MIN_TOKEN:
        raise SystemExit(
            f"COLOPHON_RUNNER_TOKEN must hold at least {MIN_TOKEN} characters"
        )
    edge = wire.peer(os.environ.get("COLOPHON_EDGE_URL", "http://127.0.0.1:8791"))
    async with _checkpoints() as saver:
        runs = Runs(flow, flow.build(saver), edge, wire.secret())
        door = Door(runs, asyncio.get_running_loop(), token)
        server = wire.server(listen, door.handle)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        print(f"{flow.NAME}: listening on {host}:{port}", file=sys.stderr, flush=True)
        await runs.take_up()
        await asyncio.Event().wait()


def serve(flow: Any, listen: str) -> int:
    """Serves until it is ended."""
    try:
        asyncio.run(_serve(flow, listen))
    except KeyboardInterrupt:
        pass
    return 0
