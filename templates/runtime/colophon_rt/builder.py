"""Nodes of flows drawn in the Builder, on LangGraph.

Every node of a graph runs in every run, so that joins written as static edges wait for all their
inputs. A node that a router left out only records that it did not run.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import httpx
from langgraph.types import interrupt

from app.colophon_rt import javascript
from app.colophon_rt.conditions import holds
from app.colophon_rt.values import Scope, credential, value

MAX_PAYLOAD = 256 * 1024
FIRST_RETRY_SECONDS = 0.5


class NodeFailed(RuntimeError):
    """A node failed after its last attempt."""


class InvalidInput(ValueError):
    """The input of a run does not match what the flow declares."""


def merge(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """Adds the outputs of one step to those before it."""
    return {**(old or {}), **(new or {})}


class State(TypedDict, total=False):
    """The state of a run: its input, outputs by node, and which way each node went."""

    input: dict[str, Any]
    out: Annotated[dict[str, Any], merge]
    # False: left out; True: ran; a list: ran, and took these branches.
    went: Annotated[dict[str, Any], merge]


Update = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Node:
    """What all nodes have. `after` lists incoming edges as [node, branch or None]."""

    id: str
    after: list[list[str | None]] = field(default_factory=list)
    on_error: str = "fail"
    retry: int = 0
    timeout_ms: int | None = None

    async def call(self, scope: Scope) -> Any:
        """Computes the node's output."""
        raise NotImplementedError

    def went(self, output: Any) -> Any:
        """Which way the run goes on from here."""
        return True


@dataclass(frozen=True, kw_only=True)
class Trigger(Node):
    """Starts the run: its output is the run's input."""

    kind: str
    cron: str | None = None

    async def call(self, scope: Scope) -> Any:
        return scope.input


@dataclass(frozen=True, kw_only=True)
class DataMap(Node):
    """Builds an object."""

    fields: dict[str, Any]

    async def call(self, scope: Scope) -> Any:
        return value(self.fields, scope)


@dataclass(frozen=True, kw_only=True)
class HttpRequest(Node):
    """Sends a request; a status of 400 or more is an error. Redirects are not followed."""

    method: str
    url: dict[str, Any]
    headers: dict[str, Any] = field(default_factory=dict)
    json: dict[str, Any] | None = None

    async def call(self, scope: Scope) -> Any:
        url = value(self.url, scope)
        if not str(url).startswith(("http://", "https://")):
            raise ValueError("only http and https addresses are requested")
        headers = {name: str(value(v, scope)) for name, v in self.headers.items()}
        body = {} if self.json is None else {"json": value(self.json, scope)}
        async with httpx.AsyncClient(timeout=None) as client:
            response = await client.request(self.method, url, headers=headers, **body)
        response.raise_for_status()
        return {
            "status": response.status_code,
            "headers": dict(response.headers),
            "body": _body(response),
        }


def _body(response: httpx.Response) -> Any:
    if "json" in response.headers.get("content-type", ""):
        return response.json() if response.content else None
    return response.text


@dataclass(frozen=True, kw_only=True)
class LlmChat(Node):
    """Asks a model behind an OpenAI-compatible API, at OPENAI_BASE_URL."""

    model: str
    prompt: dict[str, Any]
    system: dict[str, Any] | None = None
    temperature: float | None = None
    api_key: list[str] | None = None

    async def call(self, scope: Scope) -> Any:
        base = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1").rstrip(
            "/"
        )
        key = (
            credential(*self.api_key)
            if self.api_key
            else os.environ.get("OPENAI_API_KEY")
        )
        request: dict[str, Any] = {
            "model": self.model,
            "messages": self._messages(scope),
        }
        if self.temperature is not None:
            request["temperature"] = self.temperature
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with httpx.AsyncClient(timeout=None) as client:
            response = await client.post(
                f"{base}/chat/completions", headers=headers, json=request
            )
        response.raise_for_status()
        answer = response.json()
        return {
            "text": answer["choices"][0]["message"]["content"],
            "model": answer.get("model", self.model),
            "usage": answer.get("usage"),
        }

    def _messages(self, scope: Scope) -> list[dict[str, str]]:
        user = {"role": "user", "content": str(value(self.prompt, scope))}
        if self.system is None:
            return [user]
        return [{"role": "system", "content": str(value(self.system, scope))}, user]


@dataclass(frozen=True, kw_only=True)
class Router(Node):
    """Chooses branches. Each is {"name", "any": groups of conditions} or {"name", "fallback"}."""

    mode: str
    branches: list[dict[str, Any]]

    async def call(self, scope: Scope) -> Any:
        taken = []
        for branch in self.branches:
            if any(
                all(holds(c, scope) for c in group) for group in branch.get("any", ())
            ):
                taken.append(branch["name"])
                if self.mode == "first":
                    break
        if not taken:
            taken = [
                branch["name"] for branch in self.branches if branch.get("fallback")
            ][:1]
        return {"branches": taken}

    def went(self, output: Any) -> Any:
        return output.get("branches", [])


@dataclass(frozen=True, kw_only=True)
class Loop(Node):
    """Runs its body once per item, one after the other."""

    items: dict[str, Any]
    max_items: int
    body: list[str]


@dataclass(frozen=True, kw_only=True)
class CodeJs(Node):
    """Runs JavaScript of the flow, kept in app/components/ by its hash."""

    sha256: str
    input: dict[str, Any]

    async def call(self, scope: Scope) -> Any:
        return await javascript.run(
            javascript.script(self.sha256), value(self.input, scope)
        )


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Steps that an agent runs at the edge: what it is given, and the nodes it answers for."""

    id: str
    bundle: str
    payload: dict[str, Any]
    results: list[str]
    after: list[list[str | None]] = field(default_factory=list)


def read_input(inputs: dict[str, Any], data: Any) -> dict[str, Any]:
    """The input of a run, with the defaults of what it leaves out."""
    if not isinstance(data, dict):
        raise InvalidInput("the input must be an object")
    missing = [
        name for name, spec in inputs.items() if spec["required"] and name not in data
    ]
    if missing:
        raise InvalidInput("missing input: " + ", ".join(missing))
    defaults = {name: spec["default"] for name, spec in inputs.items()}
    return {**defaults, **data}


async def run(node: Node, state: State) -> Update:
    """Runs a node, or records that no edge to it is live."""
    return await _run(node, state, node.call)


async def run_loop(loop: Loop, state: State, body: Any) -> Update:
    """Runs a loop, whose body is a compiled graph."""

    async def call(scope: Scope) -> Any:
        return await _iterate(loop, scope, state, body)

    return await _run(loop, state, call)


async def hand_over(segment: Segment, state: State) -> Update:
    """Waits for an agent to run a segment.

    The run stops here with {"segment", "bundle", "payload"}. It is resumed with {"result": {node:
    output}} or {"error": text}. The node starts anew on resume, so nothing before the interrupt
    has an effect.
    """
    if not _is_live(state, segment.after):
        return {"went": dict.fromkeys(segment.results, False)}
    scope = _scope(state)
    payload = {
        name: value(template, scope) for name, template in segment.payload.items()
    }
    if len(json.dumps(payload)) > MAX_PAYLOAD:
        raise NodeFailed(
            f"{segment.id}: the payload is larger than {MAX_PAYLOAD} bytes"
        )
    request = {"segment": segment.id, "bundle": segment.bundle, "payload": payload}
    answer = interrupt(request)
    if "error" in answer:
        raise NodeFailed(f"{segment.id}: {answer['error']}")
    result = answer["result"]
    missing = [name for name in segment.results if name not in result]
    if missing:
        raise NodeFailed(f"{segment.id}: the answer lacks {', '.join(missing)}")
    return {
        "out": {name: result[name] for name in segment.results},
        "went": dict.fromkeys(segment.results, True),
    }


async def _run(
    node: Node, state: State, call: Callable[[Scope], Awaitable[Any]]
) -> Update:
    if not _is_live(state, node.after):
        return {"went": {node.id: False}}
    try:
        output = await _attempts(node, _scope(state), call)
    except Exception as error:
        if node.on_error != "continue":
            raise NodeFailed(f"{node.id}: {type(error).__name__}: {error}") from error
        output = {"error": f"{type(error).__name__}: {error}"}
    return {"out": {node.id: output}, "went": {node.id: node.went(output)}}


async def _attempts(
    node: Node, scope: Scope, call: Callable[[Scope], Awaitable[Any]]
) -> Any:
    timeout = node.timeout_ms / 1000 if node.timeout_ms else None
    for attempt in range(node.retry):
        try:
            return await asyncio.wait_for(call(scope), timeout)
        except Exception:
            await asyncio.sleep(FIRST_RETRY_SECONDS * 2**attempt)
    return await asyncio.wait_for(call(scope), timeout)


async def _iterate(loop: Loop, scope: Scope, state: State, body: Any) -> Any:
    items = value(loop.items, scope)
    if not isinstance(items, list):
        raise TypeError("the items of a loop must be a list")
    if len(items) > loop.max_items:
        raise ValueError(f"{len(items)} items; at most {loop.max_items} are allowed")
    results = []
    for index, item in enumerate(items):
        here = {loop.id: {"item": item, "index": index}}
        inner = {
            "input": state.get("input", {}),
            "out": merge(state.get("out"), here),
            "went": merge(state.get("went"), {loop.id: True}),
        }
        # A body keeps no checkpoints; with durability "sync", LangGraph would wait for one.
        done = await body.ainvoke(inner, durability="async")
        results.append(
            {name: done["out"][name] for name in loop.body if name in done["out"]}
        )
    return {"results": results, "count": len(results)}


def _is_live(state: State, after: list[list[str | None]]) -> bool:
    if not after:
        return True
    went = state.get("went", {})
    return any(_took(went[node], branch) for node, branch in after)


def _took(way: Any, branch: str | None) -> bool:
    return branch in way if isinstance(way, list) else bool(way)


def _scope(state: State) -> Scope:
    left_out = frozenset(
        node for node, way in state.get("went", {}).items() if way is False
    )
    return Scope(state.get("input", {}), state.get("out", {}), left_out)
