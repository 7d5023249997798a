"""The command line of ActivePieces flows."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import uuid
from typing import Any

from app.colophon_rt import activepieces


async def invoke(flow: Any, payload: Any = None, wait: bool = False) -> dict[str, Any]:
    """Runs a flow with the payload of its trigger.

    At a pause of the flow the run ends, and what it waits for is returned; with `wait` it is waited
    for. To resume a run later, build the graph with a checkpointer of your own.
    """
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command

    graph = flow.build(InMemorySaver())
    run_id = uuid.uuid4().hex
    config = {"configurable": {"thread_id": run_id}}
    payload = default_payload(flow) if payload is None else payload
    start = activepieces.begin(flow.TRIGGER["name"], payload, run_id, flow.__name__)
    state = await graph.ainvoke(start, config)
    while waiting := state.get("__interrupt__"):
        if not wait:
            return {"waiting": [pause.value for pause in waiting]}
        until = max(pause.value["until_ms"] for pause in waiting)
        await asyncio.sleep(max(0.0, until / 1000 - time.time()))
        state = await graph.ainvoke(Command(resume=True), config)
    return result(state)


def default_payload(flow: Any) -> Any:
    """What the trigger itself would give: a schedule tells when it runs."""
    if "cron" not in flow.TRIGGER:
        return {}
    return {
        "cron_expression": flow.TRIGGER["cron"],
        "timezone": flow.TRIGGER["timezone"],
    }


def result(state: dict[str, Any]) -> dict[str, Any]:
    """The outputs of the steps, what failed, and what the flow answered."""
    steps = state["steps"]
    found: dict[str, Any] = {
        "outputs": {
            n: s.get("output") for n, s in steps.items() if s["status"] == "SUCCEEDED"
        }
    }
    failed = {n: s["errorMessage"] for n, s in steps.items() if s["status"] == "FAILED"}
    if failed:
        found["failed"] = failed
    if "response" in state:
        found["response"] = state["response"]
    return found


def describe(flow: Any) -> dict[str, Any]:
    """What an operator needs to know: what starts the flow, and which variables it reads."""
    return {
        "name": flow.NAME,
        "trigger": flow.TRIGGER,
        "connections": flow.CONNECTIONS,
        "variables": flow.VARIABLES,
    }


def main(flow: Any, argv: list[str] | None = None) -> int:
    """Runs a flow from the command line."""
    parser = argparse.ArgumentParser(description="Runs one generated flow.")
    parser.add_argument("--input", help="the trigger's payload, as JSON; - reads it")
    parser.add_argument(
        "--wait", action="store_true", help="wait through pauses of the flow"
    )
    parser.add_argument("--check", action="store_true", help="build the graph and stop")
    parser.add_argument(
        "--describe",
        action="store_true",
        help="print trigger and variables as JSON and stop",
    )
    args = parser.parse_args(argv)
    if args.check:
        flow.build()
        return 0
    if args.describe:
        return _print(describe(flow))
    text = sys.stdin.read() if args.input == "-" else args.input
    try:
        return _print(
            asyncio.run(invoke(flow, json.loads(text) if text else None, args.wait))
        )
    except activepieces.StepFailed as error:
        print(error, file=sys.stderr)
        return 1


def _print(found: Any) -> int:
    json.dump(found, sys.stdout, ensure_ascii=False)
    print()
    return 0
