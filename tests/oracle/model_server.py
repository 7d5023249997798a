"""A model on loopback that speaks OpenAI's API and always gives the same answer to the same prompt.

An answer names the model and a hash over the whole list of messages, so two runs that say the same
were given the same prompts. When tools are offered and none was called yet, it calls the first one
with arguments made from its schema; so the loop of an agent is walked once.
"""

from __future__ import annotations

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EXAMPLES = {"string": "2+3", "integer": 2, "number": 2.5, "boolean": True, "array": [], "object": {}}
DIMENSIONS = 16
# Not 127.0.0.1: inside a container lfx takes that for the host of the container.
HOST = "127.0.0.2"


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def words(content: Any) -> str:
    """The text of a message, whose content may be a list of parts."""
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content)
    return content or ""


def plain(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages without the ids of tool calls, which are drawn by chance."""
    drop = ("id", "tool_call_id")
    return json.loads(
        json.dumps(messages), object_hook=lambda o: {k: v for k, v in o.items() if k not in drop}
    )


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The assistant's message."""
    messages = request.get("messages") or []
    tools = request.get("tools") or []
    called = any(message.get("role") == "tool" for message in messages)
    if tools and not called:
        functions = [tool["function"] for tool in tools]
        # What tells the time gives no answer twice.
        first = min(functions, key=lambda function: "date" in function["name"])
        return {"role": "assistant", "content": None, "tool_calls": [call(first)]}
    # Tools are part of the prompt: an agent that offers others is given another answer.
    seen = digest([plain(messages), sorted(tool["function"]["name"] for tool in tools)])[:12]
    last = words(messages[-1]["content"]) if messages else ""
    return {"role": "assistant", "content": f"[{request.get('model')} {seen}] {last}"}


def call(function: dict[str, Any]) -> dict[str, Any]:
    schema = function.get("parameters") or {}
    required = schema.get("required") or []
    arguments = {
        name: EXAMPLES.get(field.get("type"), "x")
        for name, field in (schema.get("properties") or {}).items()
        if name in required
    }
    return {
        "id": "call_1",
        "index": 0,
        "type": "function",
        "function": {"name": function["name"], "arguments": json.dumps(arguments)},
    }


def embedding(text: Any) -> list[float]:
    seed = hashlib.sha256(str(text).encode()).digest()
    return [byte / 255 for byte in seed[:DIMENSIONS]]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Nothing: what matters is in the answers."""

    def do_GET(self) -> None:
        self.give({"object": "list", "data": [{"id": "gpt-4o-mini", "object": "model"}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/embeddings"):
            given = request["input"] if isinstance(request["input"], list) else [request["input"]]
            data = [
                {"object": "embedding", "index": i, "embedding": embedding(text)}
                for i, text in enumerate(given)
            ]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            self.give({"object": "list", "data": data, "model": "echo", "usage": usage})
        elif request.get("stream"):
            self.stream(request, answer(request))
        else:
            self.complete(request, answer(request))

    def complete(self, request: dict[str, Any], message: dict[str, Any]) -> None:
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        choice = {"index": 0, "message": message, "finish_reason": finish(message)}
        self.give({**head(request, "chat.completion"), "choices": [choice], "usage": usage})

    def stream(self, request: dict[str, Any], message: dict[str, Any]) -> None:
        chunk = head(request, "chat.completion.chunk")
        events = [
            {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
            {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": finish(message)}]},
        ]
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        self.send("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]))

    def give(self, value: dict[str, Any]) -> None:
        self.send("application/json", json.dumps(value))

    def send(self, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def head(request: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "echo", "object": kind, "created": 0, "model": request.get("model")}


def finish(message: dict[str, Any]) -> str:
    return "tool_calls" if message.get("tool_calls") else "stop"


if __name__ == "__main__":
    server = ThreadingHTTPServer((HOST, 0), Handler)
    print(server.server_address[1], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)
