"""The command line of LangFlow flows."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import uuid
from typing import Any

from app.colophon_rt import langflow


async def invoke(
    flow: Any, text: Any = None, session_id: str | None = None, entry: str | None = None
) -> dict[str, Any]:
    """Runs a flow. Without an input, its entry uses the value it was drawn with."""
    state: langflow.State = {"session_id": session_id or uuid.uuid4().hex}
    if text is not None:
        state["input"] = text
    if flow.ENTRIES:
        state["entry"] = entry = entry or flow.ENTRIES[0]
    graph = flow.build(entry=entry) if entry else flow.build()
    found = langflow.outputs(await graph.ainvoke(state))
    return {"outputs": {node: _printed(found.get(node, {})) for node in flow.OUTPUTS}}


def _printed(values: dict[str, Any]) -> dict[str, str]:
    return {name: langflow.text(value) for name, value in values.items()}


def main(flow: Any, argv: list[str] | None = None) -> int:
    """Runs a flow from the command line."""
    parser = argparse.ArgumentParser(description="Runs one generated flow.")
    parser.add_argument("--input", help="the run's input; - reads it")
    parser.add_argument("--session-id", help="the session whose history the run belongs to")
    if flow.ENTRIES:
        parser.add_argument("--entry", choices=flow.ENTRIES, help="where the run begins")
    parser.add_argument("--check", action="store_true", help="build the graph and stop")
    args = parser.parse_args(argv)
    if args.check:
        flow.build()
        return 0
    text = sys.stdin.read() if args.input == "-" else args.input
    result = asyncio.run(invoke(flow, text, args.session_id, getattr(args, "entry", None)))
    json.dump(result, sys.stdout, ensure_ascii=False)
    print()
    return 0
