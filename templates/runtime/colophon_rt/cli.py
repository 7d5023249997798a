"""The command line of Builder flows."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import uuid
from typing import Any

from app.colophon_rt import builder


async def invoke(
    flow: Any, data: Any, answers: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Runs a flow.

    `answers` holds what agents would answer, by segment. Without an answer for a segment, the run
    ends there, and what it waits for is returned.
    """
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.types import Command

    graph = flow.build(InMemorySaver())
    config = {"configurable": {"thread_id": uuid.uuid4().hex}}
    state = await graph.ainvoke(
        {"input": builder.read_input(flow.INPUTS, data)}, config
    )
    while waiting := state.get("__interrupt__"):
        known = {
            i.id: {"result": answers[i.value["segment"]]}
            for i in waiting
            if answers and i.value["segment"] in answers
        }
        if len(known) < len(waiting):
            return {"waiting": [i.value for i in waiting]}
        state = await graph.ainvoke(Command(resume=known), config)
    return {
        "outputs": {
            node: state["out"][node] for node in flow.OUTPUTS if node in state["out"]
        }
    }


def main(flow: Any, argv: list[str] | None = None) -> int:
    """Runs a flow from the command line."""
    parser = argparse.ArgumentParser(description="Runs one generated flow.")
    parser.add_argument(
        "--input", default="{}", help="the run's input, as JSON; - reads it"
    )
    parser.add_argument(
        "--answers", default="{}", help="answers of edge agents, JSON by segment"
    )
    parser.add_argument(
        "--serve", metavar="HOST:PORT", help="serve runs over HTTP, see service.py"
    )
    parser.add_argument("--check", action="store_true", help="build the graph and stop")
    args = parser.parse_args(argv)
    if args.check:
        flow.build()
        return 0
    if args.serve:
        from app.colophon_rt import service

        return service.serve(flow, args.serve)
    data = json.load(sys.stdin) if args.input == "-" else json.loads(args.input or "{}")
    try:
        result = asyncio.run(invoke(flow, data, json.loads(args.answers)))
    except (builder.InvalidInput, builder.NodeFailed) as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(result, sys.stdout, ensure_ascii=False)
    print()
    return 0
