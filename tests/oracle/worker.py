"""Runs flows: as lfx does (the oracle), and as a generated module does. One JSON value a line.

    {"do": "prepare", "flow": path}                       -> {"flow": {...}}
    {"do": "lfx", "flow": path, "input", "session"}       -> {"outputs": {...}} or {"error": text}
        with "entry": "webhook", as LangFlow's server runs a webhook
    {"do": "generated", "root": folder, "module", "input", "session"}  -> the same
        with "checkpoints": file, "go_on": bool, "enough": checkpoints after which it is killed
    {"do": "check", "root": folder}                       -> {} or {"error": text}, its smoke tests
    {"do": "draw", "folder": path}                        -> {}, flows of our own
    {"do": "end"}

Each run is a process of its own, forked from this one, which has imported what takes long. What is
compared is not only a flow's answer but every output of every component that ran.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from model_server import HOST

# How messages write the time, which a text may quote.
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ UTC")
TIME_LIMIT = 90  # seconds a run
# What differs between two runs of one flow: ids, times, and where a message was shown.
CHANCE = {
    "id", "timestamp", "flow_id", "run_id", "context_id", "session_metadata", "duration",
    "usage", "source", "background_color", "text_color", "icon", "build_duration",
}  # fmt: skip


def prepare(path: str, base_url: str) -> dict[str, Any]:
    """The flow as a person makes it ready to run: with a model, its address, and its key's name."""
    flow = json.loads(Path(path).read_text())
    for node in nodes(flow):
        template = node["data"]["node"].get("template") or {}
        for name, field in template.items():
            if isinstance(field, dict):
                fill(name, field, base_url)
    return flow


def nodes(flow: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for node in flow["data"]["nodes"]:
        inner = (node.get("data", {}).get("node") or {}).get("flow")
        if inner:
            found += nodes(inner)
        if node.get("data", {}).get("node"):
            found.append(node)
    return found


def fill(name: str, field: dict[str, Any], base_url: str) -> None:
    if name in ("openai_api_base", "base_url"):
        field["value"] = base_url
    elif field.get("type") == "model":
        field["value"] = [{"name": "gpt-4o-mini", "provider": "OpenAI", "metadata": MODEL}]
    elif name in ("provider", "agent_llm") and "OpenAI" in (field.get("options") or []):
        field["value"] = "OpenAI"
    elif name == "model_name" and not str(field.get("value")).startswith(("gpt", "text-embedding")):
        field["value"] = "gpt-4o-mini"
    elif name in ("api_key", "openai_api_key") and field.get("password"):
        field.update(value="OPENAI_API_KEY", load_from_db=True)


# What the editor writes beside a model that is picked from its list.
MODEL = {
    "api_key_param": "api_key",
    "context_length": 128000,
    "model_class": "ChatOpenAI",
    "model_name_param": "model",
}


def run_lfx(job: dict[str, Any]) -> dict[str, Any]:
    """`lfx run`, listening to the vertices as they end: later ones change the messages they get."""
    from lfx.graph.graph.base import Graph
    from lfx.graph.vertex.vertex_types import ComponentVertex

    # lfx keeps edges in a set, so what feeds a list comes in another order in every process. Here
    # the order is that of the flow.
    Graph._build_edges = lambda graph: [graph.build_edge(edge) for edge in graph._edges]

    outputs: dict[str, Any] = {}
    own = ComponentVertex._update_built_object_and_artifacts

    def listen(vertex: Any, result: Any) -> None:
        own(vertex, result)
        outputs[vertex.id] = {name: plain(value) for name, value in vertex.results.items()}

    ComponentVertex._update_built_object_and_artifacts = listen
    asyncio.run(by_webhook(job) if job.get("entry") == "webhook" else by_chat(job))
    return {"outputs": outputs}


async def by_chat(job: dict[str, Any]) -> None:
    from lfx.run import base

    await base.run_flow(
        script_path=Path(job["flow"]),
        input_value=job["input"],
        session_id=job["session"],
        check_variables=False,
        check_dependencies=False,
    )


async def by_webhook(job: dict[str, Any]) -> None:
    """What LangFlow's server does with a request at a flow's webhook."""
    from lfx.load import aload_flow_from_json

    flow = json.loads(Path(job["flow"]).read_text())
    hooks = [node["id"] for node in nodes(flow) if node["data"]["type"] == "Webhook"]
    tweaks = {hook: {"data": job["input"]} for hook in hooks}
    graph = await aload_flow_from_json(flow, tweaks=tweaks)
    await graph.arun([{}], session_id=job["session"], fallback_to_env_vars=True)


def run_generated(job: dict[str, Any]) -> dict[str, Any]:
    """The generated module, as its runner calls it."""
    sys.path.insert(0, job["root"])
    flow = importlib.import_module(job["module"])
    state = {"session_id": job["session"], "input": job["input"]}
    entry = None
    if flow.ENTRIES:
        # `lfx run` begins at the chat.
        entry = state["entry"] = job.get("entry") or "chat"
    if store := job.get("checkpoints"):
        import checkpoint

        state = None if job["go_on"] else state
        ended = checkpoint.run(flow, state, Path(store), job.get("enough"))
    else:
        graph = flow.build(entry=entry) if entry else flow.build()
        ended = asyncio.run(graph.ainvoke(state))
    outputs = {}
    for node, values in flow.rt.outputs(ended).items():
        if values:
            outputs[node] = {name: plain(value) for name, value in values.items()}
    return {"outputs": outputs}


def check(job: dict[str, Any]) -> dict[str, Any]:
    """What pytest would run: the smoke tests of the generated module."""
    sys.path.insert(0, job["root"])
    for path in Path(job["root"], "tests/smoke").rglob("test_*.py"):
        tests = runpy.run_path(str(path))
        for name in [name for name in tests if name.startswith("test_")]:
            tests[name]()
    return {}


def draw(job: dict[str, Any]) -> dict[str, Any]:
    """Writes the flows of `drawn.py`."""
    import drawn

    drawn.write(Path(job["folder"]))
    return {}


JOBS = {"lfx": run_lfx, "generated": run_generated, "check": check, "draw": draw}


def plain(value: Any) -> Any:
    """A value for comparison, with its kind."""
    from lfx.schema.data import Data
    from lfx.schema.message import Message
    from pandas import DataFrame

    if isinstance(value, Message):
        return {"Message": strip(json.loads(value.model_dump_json()))}
    if isinstance(value, Data):
        return {"Data": strip(json.loads(json.dumps(value.data, default=str)))}
    if isinstance(value, DataFrame):
        return {"DataFrame": strip(json.loads(value.to_json(orient="split", default_handler=str)))}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return {"object": type(value).__name__}


def strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: strip(item) for key, item in value.items() if key not in CHANCE}
    if isinstance(value, str):
        return TIME.sub("<time>", value)
    return [strip(item) for item in value] if isinstance(value, list) else value


def child(job: dict[str, Any], out: int) -> None:
    """Runs one job and ends the process."""
    signal.alarm(TIME_LIMIT)
    silent = os.open(
        os.environ.get("ORACLE_LOG", os.devnull), os.O_WRONLY | os.O_CREAT | os.O_APPEND
    )
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    try:
        with tempfile.TemporaryDirectory() as home:
            os.environ["LANGFLOW_CONFIG_DIR"] = home
            os.chdir(home)
            result = JOBS[job["do"]](job)
    except BaseException as error:  # noqa: BLE001 - an answer is owed for whatever happens
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}"}
    with os.fdopen(out, "w") as pipe:
        json.dump(result, pipe, default=str)
    os._exit(0)


def fork(job: dict[str, Any]) -> dict[str, Any]:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        child(job, theirs)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else {"error": f"no answer within {TIME_LIMIT} s, or killed"}


def serve() -> None:
    here = Path(__file__).parent
    model = subprocess.Popen(
        [sys.executable, here / "model_server.py"], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(model.stdout.readline())
        base_url = f"http://{HOST}:{port}/v1"
        os.environ |= {
            "OPENAI_API_KEY": "echo",
            "OPENAI_API_BASE": base_url,
            "OPENAI_BASE_URL": base_url,
            "LANGFLOW_SSRF_ALLOWED_HOSTS": HOST,
            "DO_NOT_TRACK": "1",
        }
        import langgraph.graph  # noqa: F401
        import lfx.custom.eval  # noqa: F401
        import lfx.run.base  # noqa: F401
        import pandas  # noqa: F401

        for line in sys.stdin:
            job = json.loads(line)
            if job["do"] == "end":
                break
            done = {"flow": prepare(job["flow"], base_url)} if job["do"] == "prepare" else fork(job)
            print(json.dumps(done), flush=True)
    finally:
        model.terminate()
        model.wait()


if __name__ == "__main__":
    serve()
