"""Steps of flows drawn in ActivePieces, on LangGraph.

What a step does and what it leaves behind follow ActivePieces' engine. A step's entry in the state is
{"type", "status": "SUCCEEDED" | "FAILED", "output" or "errorMessage"}.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

from langgraph.errors import GraphBubbleUp

from app.colophon_rt.activepieces_code import run_script
from app.colophon_rt.activepieces_conditions import holds
from app.colophon_rt.activepieces_pieces import PIECES, Context
from app.colophon_rt.activepieces_values import value
from app.colophon_rt.javascript import script

__all__ = [
    "Code",
    "Loop",
    "Piece",
    "Router",
    "State",
    "Update",
    "join",
    "run",
    "run_loop",
]
__all__ += ["StepFailed", "begin", "script", "way"]

# The engine's: four attempts, 4, 8 and 16 seconds apart.
MAX_ATTEMPTS = 4
RETRY_SECONDS = 2.0


class StepFailed(RuntimeError):
    """A step failed after its last attempt, and the flow does not go on without it."""


def merge(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """Adds the entries of one step to those before it."""
    return {**(old or {}), **(new or {})}


class State(TypedDict, total=False):
    """The state of a run."""

    # Ids of the run and of the flow, for what is stored per run or flow.
    run: str
    flow: str
    steps: Annotated[dict[str, Any], merge]
    # What the flow answered, and whether it ended with that.
    response: dict[str, Any]
    stopped: bool
    # Whether this is the body of a loop.
    looping: bool


Update = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Step:
    """What all steps have."""

    name: str
    continue_on_failure: bool = False
    retry: bool = False

    @property
    def type(self) -> str:
        """The step's type in ActivePieces."""
        return type(self).__name__.upper()

    async def call(self, context: Context) -> Any:
        """Computes the step's output."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Code(Step):
    """Runs the flow author's JavaScript, which is in a file named by its hash."""

    script: str
    input: dict[str, Any]

    async def call(self, context: Context) -> Any:
        return await run_script(self.script, value(self.input, context.steps))


@dataclass(frozen=True, kw_only=True)
class Piece(Step):
    """Runs a piece of this runtime."""

    action: str
    input: dict[str, Any]
    # The connection that it signs in with.
    auth: dict[str, Any] | None = None

    async def call(self, context: Context) -> Any:
        if self.auth is not None:
            context.auth = value(self.auth, context.steps)
        return await PIECES[self.action](value(self.input, context.steps), context)


@dataclass(frozen=True, kw_only=True)
class Router(Step):
    """Chooses branches. Each is {"name", "any": groups of conditions, "first": node or None}; one
    without conditions is taken when no other is. Taken branches meet again at `join`.
    """

    all: bool
    branches: list[dict[str, Any]]
    join: str

    async def call(self, context: Context) -> Any:
        steps = context.steps
        # A fallback counts as true when another fallback looks at it.
        found = [self._holds(branch, steps) for branch in self.branches]
        branches = []
        for index, branch in enumerate(self.branches):
            taken = found[index]
            if "any" not in branch:
                taken = not any(found[:index] + found[index + 1 :])
            name = value(branch["name"], steps)
            branches.append(
                {"branchName": name, "branchIndex": index + 1, "evaluation": taken}
            )
        return {"branches": branches}

    def _holds(self, branch: dict[str, Any], steps: dict[str, Any]) -> bool:
        groups = branch.get("any")
        if groups is None:
            return True
        return any(all(holds(c, steps) for c in group) for group in groups)


@dataclass(frozen=True, kw_only=True)
class Loop(Step):
    """Runs its body once per item, one after the other. `body` names the steps in it."""

    items: dict[str, Any]
    body: list[str] = field(default_factory=list)

    @property
    def type(self) -> str:
        return "LOOP_ON_ITEMS"


def begin(trigger: str, payload: Any, run_id: str, flow: str) -> State:
    """The state before the first step."""
    entry = {"type": "PIECE_TRIGGER", "status": "SUCCEEDED", "output": payload}
    return {"run": run_id, "flow": flow, "steps": {trigger: entry}}


async def run(step: Step, state: State) -> Update:
    """Runs a step, unless the flow has ended with an answer."""
    return await _run(step, state, step.call)


async def run_loop(loop: Loop, state: State, body: Any) -> Update:
    """Runs a loop, whose body is a compiled graph."""

    async def call(context: Context) -> Any:
        return await _iterate(loop, context, state, body)

    return await _run(loop, state, call)


async def join(state: State) -> Update:
    """Where the branches of a router meet."""
    return {}


def way(router: Router, start: int) -> Callable[[State], str]:
    """Chooses the first branch that is taken and has steps, the `start`-th or later."""

    def choose(state: State) -> str:
        entry = state.get("steps", {}).get(router.name, {})
        results = entry.get("output", {}).get("branches", [])
        for branch, result in list(zip(router.branches, results))[start:]:
            if state.get("stopped") or not result["evaluation"]:
                continue
            if branch["first"] or not router.all:
                return branch["first"] or router.join
        return router.join

    return choose


async def _run(
    step: Step, state: State, call: Callable[[Context], Awaitable[Any]]
) -> Update:
    if state.get("stopped"):
        return {}
    context = Context(
        steps=state.get("steps", {}),
        run=state.get("run", ""),
        flow=state.get("flow", ""),
        step=step.name,
        looping=state.get("looping", False),
    )
    entry: dict[str, Any] = {"type": step.type, "status": "SUCCEEDED"}
    try:
        entry["output"] = await _attempts(step, context, call)
    except (GraphBubbleUp, StepFailed):
        raise
    except Exception as error:
        message = str(error) or type(error).__name__
        if not step.continue_on_failure:
            raise StepFailed(f"{step.name}: {message}") from error
        entry = {**entry, "status": "FAILED", "errorMessage": message}
    update: Update = {"steps": {step.name: entry}}
    if context.response is not None and "response" not in state:
        update["response"] = context.response
    if context.stopped:
        update["stopped"] = True
    return update


async def _attempts(
    step: Step, context: Context, call: Callable[[Context], Awaitable[Any]]
) -> Any:
    for attempt in range(1, MAX_ATTEMPTS if step.retry else 1):
        try:
            return await call(context)
        except GraphBubbleUp:
            raise
        except Exception:
            await asyncio.sleep(RETRY_SECONDS * 2**attempt)
    return await call(context)


async def _iterate(loop: Loop, context: Context, state: State, body: Any) -> Any:
    items = value(loop.items, context.steps)
    if not isinstance(items, list):
        raise TypeError("The items you have selected must be a list.")
    output: dict[str, Any] = {"item": None, "index": 0, "iterations": []}
    entry = {"type": loop.type, "status": "SUCCEEDED", "output": output}
    for index, item in enumerate(items, start=1):
        output.update(item=item, index=index)
        output["iterations"].append({})
        here = merge(context.steps, {loop.name: entry})
        done = await body.ainvoke({**state, "steps": here, "looping": True})
        steps = done["steps"]
        output["iterations"][-1] = {
            name: steps[name] for name in loop.body if name in steps
        }
        context.response = context.response or done.get("response")
        if done.get("stopped"):
            context.stopped = True
            break
    return output
