"""The command line of LangFlow flows."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import uuid
from typing import Any

from app.colophon_rt import langflow


async def invoke(flow: Any, text: Any = None, session_id: str | None = None) -> dict[str, Any]:
    """Runs a flow. Without an input, its entry uses the value it was drawn with."""
    state: langflow.State = {"session_id": session_id or uuid.uuid4().hex}
    if text is not None:
        state["input"] = text
    out = (await flow.build().ainvoke(state))["out"]
    return {"outputs": {node: _printed(out[node]) for node in flow.OUTPUTS}}


def _printed(values: dict[str, Any]) -> dict[str, str]:
    ran = ((name, value) for name, value in values.items() if value is not langflow.LEFT_OUT)
    return {name: langflow.text(value) for name, value in ran}


def main(flow: Any, argv: list[str] | None = None) -> int:
    """Runs a flow from the command line."""
    parser = argparse.ArgumentParser(description="Runs one generated flow.")
    parser.add_argument("--input", help="the run's input; - reads it")
    parser.add_argument("--session-id", help="the session whose history the run belongs to")
    parser.add_argument("--check", action="store_true", help="build the graph and stop")
    args = parser.parse_args(argv)
    if args.check:
        flow.build()
        return 0
    text = sys.stdin.read() if args.input == "-" else args.input
    result = asyncio.run(invoke(flow, text, args.session_id))
    json.dump(result, sys.stdout, ensure_ascii=False)
    print()
    return 0
