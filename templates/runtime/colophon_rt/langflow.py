"""Nodes of flows drawn in LangFlow, on LangGraph: each runs one component from its own source.

Components are built by lfx, at the release that the flow names (`LFX`). Every node of a graph runs
in every run, so that joins written as static edges wait for all their inputs; a node whose inputs
were all left out by a router only passes that on.
"""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

COMPONENTS = Path(__file__).resolve().parents[1] / "components"


class SourceMismatch(RuntimeError):
    """A component's source is not the one that was compiled."""


class _LeftOut:
    """The output of a component that did not run, or that a router stopped."""

    def __repr__(self) -> str:
        return "LEFT_OUT"


LEFT_OUT = _LeftOut()


def merge(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """Adds the outputs of one step to those before it."""
    return {**(old or {}), **(new or {})}


class State(TypedDict, total=False):
    """The state of a run: its input and session, and outputs by component and name."""

    input: Any
    session_id: str
    out: Annotated[dict[str, Any], merge]


Update = dict[str, Any]


@dataclass(frozen=True)
class Input:
    """An edge: the field it feeds, the component it comes from, and that one's output."""

    field: str
    id: str
    output: str
    many: bool = False  # the field collects several values


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component and everything that decides what it does."""

    id: str
    name: str  # finds the class in the source
    source: str  # SHA-256 of the source, and its file's name
    params: dict[str, Any]
    inputs: list[Input] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)  # that something reads; none: all
    env: list[str] = field(default_factory=list)  # fields that hold a variable's name
    frames: list[str] = field(default_factory=list)  # fields that take a data frame
    run_input: str | None = None  # field that takes the input of the run


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A loop: `tail` is the component and output that an iteration ends with."""

    id: str
    tail: list[str]
    done_as: str
    inputs: list[Input] = field(default_factory=list)


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

    return eval_custom_component_code(source(sha256), class_name=name)


async def run(component: Component, state: State) -> Update:
    """Runs a component, or passes on that nothing fed it."""
    fed = gather(component.inputs, state)
    if fed is None:
        return {"out": {component.id: dict.fromkeys(component.outputs, LEFT_OUT)}}
    params = {**_own_params(component, state), **fed}
    instance = load(component.source, component.name)(
        _user_id=None,
        _parameters=dict(params),
        _vertex=None,
        _tracing_service=None,
        _id=component.id,
        _session_id=state.get("session_id"),
    )
    instance.set_attributes(params)
    stopped = _restrict(instance, component.outputs)
    await instance.build_results()
    names = component.outputs or list(instance._outputs_map)
    values = {name: instance._outputs_map[name].value for name in names}
    return {"out": {component.id: {**values, **dict.fromkeys(stopped, LEFT_OUT)}}}


async def run_loop(loop: Loop, state: State, body: Any) -> Update:
    """Runs the body of a loop, a compiled graph, once per item and in order."""
    from lfx.schema.data import Data
    from lfx.schema.dataframe import DataFrame

    fed = gather(loop.inputs, state)
    if fed is None:
        return {"out": {loop.id: {"item": LEFT_OUT, "done": LEFT_OUT}}}
    items = _items(fed["data"])
    done = []
    for item in items:
        inner = {**state, "out": merge(state.get("out"), {loop.id: {"item": item}})}
        ended = await body.ainvoke(inner)
        done.append(_as_data(ended["out"][loop.tail[0]][loop.tail[1]]))
    summary = Data(data={"count": len(items), "items": [item.data for item in items]})
    result = DataFrame(done) if loop.done_as == "DataFrame" else done
    return {"out": {loop.id: {"item": summary, "done": result}}}


def gather(inputs: list[Input], state: State) -> dict[str, Any] | None:
    """Values by field; None when there are inputs and all were left out."""
    values: dict[str, Any] = {}
    out = state.get("out") or {}
    live = not inputs
    for edge in inputs:
        value = out[edge.id][edge.output]
        if value is LEFT_OUT:
            continue
        live = True
        if not edge.many:
            values[edge.field] = value
        elif isinstance(value, list):
            values.setdefault(edge.field, []).extend(value)
        else:
            values.setdefault(edge.field, []).append(value)
    return values if live else None


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
    if component.run_input and state.get("input") is not None:
        params[component.run_input] = state["input"]
    return params


def _restrict(instance: Any, outputs: list[str]) -> set[str]:
    """Limits a component to outputs that something reads; returns where it notes those it stops.

    An output without a reader would still call a model or a service. A router stops outputs by
    `stop`, If-Else by `iterate_and_stop_once`; both need a graph of lfx, which is not there.
    """
    stopped: set[str] = set()
    for method in ("stop", "iterate_and_stop_once"):
        object.__setattr__(instance, method, stopped.add)
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


def _as_data(result: Any) -> Any:
    from lfx.schema.data import Data
    from lfx.schema.message import Message

    if isinstance(result, Message):
        return Data(data=result.model_dump()["data"])
    return result if isinstance(result, Data) else Data(text=str(result))
