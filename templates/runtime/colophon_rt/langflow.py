"""Nodes of flows drawn in LangFlow, on LangGraph: each runs one component from its own source.

Components are built by lfx, at the release that the flow names (`LFX`). Every node of a graph is
visited in every run, so that joins written as static edges wait for all their inputs; a node that a
router leaves out gives no outputs. The state holds tagged JSON (`langflow_values`). What no
checkpoint can hold, such as a tool or a model, is made by the component that uses it.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict

from app.colophon_rt.langflow_values import NotStorable, pack, unpack

COMPONENTS = Path(__file__).resolve().parents[1] / "components"


class SourceMismatch(RuntimeError):
    """A component's source is not the one that was compiled."""


# Beside the outputs of the last component of a loop's body: what its iteration gives.
ITERATION = "$iteration"


def merge(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """Adds the outputs of one step to those before it."""
    return {**(old or {}), **(new or {})}


class State(TypedDict, total=False):
    """The state of a run: its input, session and entry; outputs by component and name, packed; and the
    outputs that routers stopped."""

    input: Any
    session_id: str
    entry: str
    out: Annotated[dict[str, Any], merge]
    stopped: Annotated[dict[str, list[str]], merge]


Update = dict[str, Any]


@dataclass(frozen=True)
class Input:
    """An edge: the field it feeds, the component it comes from, and that one's output.

    The component is given by its id when the state holds the output. Otherwise it is the component
    itself, which is run for this edge.
    """

    field: str
    source: str | Component
    output: str
    many: bool = False  # the field collects several values
    default: Any = None  # what the field is when a router leaves the component out


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component and everything that decides what it does."""

    id: str
    name: str  # finds the class in the source
    source: str  # SHA-256 of the source, and its file's name
    params: dict[str, Any]
    inputs: list[Input] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)  # that something reads; none: all
    methods: list[list[str]] = field(default_factory=list)  # all outputs, and what gives them
    speaker: str | None = None  # who an agent speaks as
    env: list[str] = field(default_factory=list)  # fields that hold a variable's name
    frames: list[str] = field(default_factory=list)  # fields that take a data frame
    run_input: str | None = None  # field that takes the input of the run
    entry: str | None = None  # the only entry for which it does
    routes: dict[str, list[str]] = field(default_factory=dict)  # by router, outputs that lead here
    session: bool = False  # its field `session_id` takes the session of the run
    ends_iteration: bool = False  # the last of a loop's body


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A loop: `tail` is the component and output that an iteration ends with."""

    id: str
    tail: list[str]
    done_as: str
    inputs: list[Input] = field(default_factory=list)
    routes: dict[str, list[str]] = field(default_factory=dict)


def source(sha256: str) -> str:
    """The source of a component, after checking that it is the one that was compiled."""
    code = (COMPONENTS / f"{sha256}.py").read_bytes()
    if hashlib.sha256(code).hexdigest() != sha256:
        raise SourceMismatch(f"the source {sha256} does not match its hash")
    return code.decode()


@functools.cache
def load(sha256: str, name: str) -> type:
    """The class of a component."""
    from lfx.custom.eval import eval_custom_component_code

    # Older releases of lfx take the first component of a source, and no name.
    is_new = "class_name" in inspect.signature(eval_custom_component_code).parameters
    named = {"class_name": name} if is_new else {}
    found = eval_custom_component_code(source(sha256), **named)
    found.graph = property(_graph)
    return found


def _graph(instance: Any) -> Any:
    """What a component sees of its graph: its run, and the chat output that says who speaks."""
    speaker = {"sender_name": instance.__dict__.get("_speaker")}
    chat_output = SimpleNamespace(data={"type": "ChatOutput"}, raw_params=speaker)
    return SimpleNamespace(
        flow_id=None,
        flow_name=None,
        user_id=getattr(instance, "_user_id", None),
        run_id=None,
        session_id=getattr(instance, "_session_id", None),
        context={},
        vertices=[chat_output],
        get_vertex_neighbors=lambda vertex: {},
    )


async def run(component: Component, state: State) -> Update:
    """Runs a component, unless a router leaves it out."""
    if is_left_out(component.routes, state):
        return {}
    instance, values, stopped = await _results(component, component.outputs, state)
    if component.ends_iteration:
        values[ITERATION] = _iteration(instance, values)
    if component.outputs:
        packed = {name: pack(value) for name, value in values.items()}
    else:
        packed = {name: _shown(value) for name, value in values.items()}
    update: Update = {"out": {component.id: packed}}
    return {**update, "stopped": {component.id: sorted(stopped)}} if stopped else update


async def run_loop(loop: Loop, state: State, body: Any) -> Update:
    """Runs the body of a loop, a compiled graph, once per item and in order."""
    from lfx.schema.data import Data
    from lfx.schema.dataframe import DataFrame

    if is_left_out(loop.routes, state):
        return {}
    items = _items((await gather(loop.inputs, state))["data"])
    done = []
    for item in items:
        inner = {**state, "out": merge(state.get("out"), {loop.id: {"item": pack(item)}})}
        # A body keeps no checkpoints; with durability "sync", LangGraph would wait for one.
        ended = await body.ainvoke(inner, durability="async")
        done.append(_ended(loop, ended))
    summary = Data(data={"count": len(items), "items": [item.data for item in items]})
    result = DataFrame(done) if loop.done_as == "DataFrame" else done
    return {"out": {loop.id: {"item": pack(summary), "done": pack(result)}}}


def is_left_out(routes: dict[str, list[str]], state: State) -> bool:
    """Whether a router stopped every output by which it leads to a component."""
    stopped = state.get("stopped") or {}
    return any(set(outputs) <= set(stopped.get(router, ())) for router, outputs in routes.items())


async def gather(inputs: list[Input], state: State) -> dict[str, Any]:
    """Values by field, from the outputs of components that ran before, or are run for this."""
    values: dict[str, Any] = {}
    made = await _resources(inputs, state)
    out = state.get("out") or {}
    for edge in inputs:
        if isinstance(edge.source, str):
            found = out.get(edge.source)
            given = found is not None and edge.output in found
            value = unpack(found[edge.output]) if given else edge.default
        else:
            given, value = edge.source.id in made, edge.default
            if given:
                value = made[edge.source.id][edge.output]
        if not edge.many:
            values[edge.field] = value
        elif given:
            more = value if isinstance(value, list) else [value]
            values.setdefault(edge.field, []).extend(more)
    return {name: _told_apart(value) for name, value in values.items()}


def _told_apart(value: Any) -> Any:
    """Tools of one name are renamed, as releases of lfx since 1.13 do."""
    try:
        from lfx.base.tools.component_tool import disambiguate_tool_names
    except ImportError:
        return value
    return disambiguate_tool_names(value) if isinstance(value, list) else value


async def _resources(inputs: list[Input], state: State) -> dict[str, dict[str, Any]]:
    """Outputs of the components that are run for these edges alone, by component."""
    wanted: dict[str, tuple[Component, list[str]]] = {}
    for edge in inputs:
        if isinstance(edge.source, Component) and not is_left_out(edge.source.routes, state):
            wanted.setdefault(edge.source.id, (edge.source, []))[1].append(edge.output)
    made = {}
    for name, (component, outputs) in wanted.items():
        _, made[name], _ = await _results(component, outputs, state)
    return made


async def _results(
    component: Component, outputs: list[str], state: State
) -> tuple[Any, dict[str, Any], set[str]]:
    """Builds a component: itself, its outputs by name, and those that it stopped."""
    params = {**_own_params(component, state), **await gather(component.inputs, state)}
    instance = load(component.source, component.name)(
        # lfx makes a user up for each run too: some components keep files by user.
        _user_id=state.get("session_id"),
        _parameters=dict(params),
        _vertex=None,
        _tracing_service=None,
        _id=component.id,
        _session_id=state.get("session_id"),
    )
    instance.__dict__["_speaker"] = component.speaker
    _declare(instance, component.methods)
    instance.set_attributes(params)
    stopped = _restrict(instance, outputs)
    await instance.build_results()
    names = outputs or list(instance._outputs_map)
    return instance, {name: instance._outputs_map[name].value for name in names}, stopped


def _declare(instance: Any, methods: list[list[str]]) -> None:
    """Gives a component the outputs that the flow declares for it, in place of its source's own."""
    from lfx.template.field.base import Output

    own = dict(instance._outputs_map)
    for name, method in methods:
        if name not in own or own[name].method != method:
            own[name] = Output(name=name, display_name=name, method=method)
    names = [name for name, _ in methods] or list(own)
    instance._outputs_map.clear()
    instance._outputs_map.update({name: own[name] for name in names})


def outputs(state: State) -> dict[str, dict[str, Any]]:
    """The outputs of a run by component and name, unpacked."""
    out = state.get("out") or {}
    return {id: {name: unpack(item) for name, item in found.items()} for id, found in out.items()}


def text(value: Any) -> str:
    """How a value is printed."""
    return value.text if hasattr(value, "text") else str(value)


def _own_params(component: Component, state: State) -> dict[str, Any]:
    params = dict(component.params)
    for name in component.env:
        params[name] = os.environ.get(params[name])
    for name in component.frames:
        import pandas

        params[name] = pandas.DataFrame(params[name])
    if component.session:
        params["session_id"] = state.get("session_id")
    entered = component.entry in (None, state.get("entry"))
    if component.run_input and entered and state.get("input") is not None:
        params[component.run_input] = state["input"]
    return params


def _restrict(instance: Any, outputs: list[str]) -> set[str]:
    """Limits a component to outputs that something reads; returns where it notes those it stops.

    An output without a reader would still call a model or a service. A router stops outputs by
    `stop`, If-Else by `iterate_and_stop_once`; both need a graph of lfx, which is not there.
    """
    stopped: set[str] = set()

    def stop(output: str | None = None) -> None:
        # As in lfx, a component with one output need not name it.
        stopped.add(output or next(iter(instance._outputs_map)))

    for method in ("stop", "iterate_and_stop_once"):
        object.__setattr__(instance, method, stop)
    if outputs:
        object.__setattr__(instance, "_should_process_output", lambda o: o.name in outputs)
    return stopped


def _items(data: Any) -> list[Any]:
    from lfx.schema.data import Data
    from lfx.schema.dataframe import DataFrame

    if isinstance(data, DataFrame):
        return data.to_data_list()
    if isinstance(data, Data):
        return [data]
    return list(data)


def _ended(loop: Loop, ended: State) -> Any:
    """What an iteration gives: nothing, when a router left its last component out."""
    from lfx.schema.data import Data

    tail, output = loop.tail
    found = (ended.get("out") or {}).get(tail)
    if found is None:
        return Data(text="")
    return _as_data(unpack(found[ITERATION] if ITERATION in found else found[output]))


def _iteration(instance: Any, values: dict[str, Any]) -> Any:
    """What lfx takes an iteration to give: the first output of the last component, as it is logged."""
    first = next(iter(instance._outputs_map))
    try:
        from lfx.base.flow_controls.loop_utils import extract_loop_output
        from lfx.schema.schema import build_output_logs
    except ImportError:  # before lfx 1.8 the output itself
        return values.get(first)
    logs = build_output_logs(SimpleNamespace(outputs=[{"name": first}]), (instance,))
    vertex, outputs = SimpleNamespace(id="last"), SimpleNamespace(outputs=logs)
    return extract_loop_output([SimpleNamespace(vertex=vertex, result_dict=outputs)], "last")


def _as_data(result: Any) -> Any:
    from lfx.schema.data import Data
    from lfx.schema.message import Message

    if isinstance(result, Message):
        return Data(data=result.model_dump()["data"])
    return result if isinstance(result, Data) else Data(text=str(result))


def _shown(value: Any) -> Any:
    """A value that nothing reads: where it cannot be kept, its text is."""
    try:
        return pack(value)
    except NotStorable:
        return str(value)
