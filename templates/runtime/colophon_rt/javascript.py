"""JavaScript that a flow brings, each call in a process of its own.

Node.js gets an empty environment, an empty folder to work in, the source and its input as JSON on its
standard input, a time limit from its caller, and a limit on what it may write. That is no sandbox: the
code can do what the process's user may. Run flows with code as a user that may do little.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

GRACE_SECONDS = 5.0
MEMORY_MIB = 256
MAX_INPUT = 16 * 1024 * 1024
MAX_OUTPUT = 8 * 1024 * 1024
MAX_LOG = 64 * 1024

HERE = Path(__file__).resolve().parent


class CodeFailed(RuntimeError):
    """The code threw, wrote too much, or ended without a result."""


def script(sha256: str) -> str:
    """The source of app/components/<sha256>.mjs, whose hash is checked."""
    source = (HERE.parent / "components" / f"{sha256}.mjs").read_bytes()
    if hashlib.sha256(source).hexdigest() != sha256:
        raise CodeFailed(f"app/components/{sha256}.mjs is not what was compiled")
    return source.decode()


async def run(source: str, given: Any, export: str = "default") -> Any:
    """What the function that a module exports under that name returns."""
    node = os.environ.get("COLOPHON_NODE") or shutil.which("node")
    if node is None:
        raise CodeFailed("Node.js is needed for code of a flow, and is not on the PATH")
    request = json.dumps({"source": source, "export": export, "input": given}).encode()
    if len(request) > MAX_INPUT:
        raise CodeFailed(f"the input is larger than {MAX_INPUT} bytes")
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            node,
            f"--max-old-space-size={MEMORY_MIB}",
            str(HERE / "javascript.mjs"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},
            cwd=folder,
            start_new_session=True,
        )
        try:
            output, log = await _talk(process, request)
        finally:
            await _end(process)
    return _answer(output, log)


async def _talk(process: Any, request: bytes) -> tuple[bytes, bytes]:
    readers = [
        asyncio.create_task(_read(process.stdout)),
        asyncio.create_task(_skim(process.stderr)),
    ]
    try:
        process.stdin.write(request)
        await process.stdin.drain()
        process.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        pass  # It ended by itself; its log says why.
    try:
        output, log = await asyncio.gather(*readers)
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    return output, log


async def _read(stream: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while chunk := await stream.read(65536):
        found += chunk
        if len(found) > MAX_OUTPUT:
            raise CodeFailed(f"the code returned more than {MAX_OUTPUT} bytes")
    return bytes(found)


async def _skim(stream: asyncio.StreamReader) -> bytes:
    """The last of what was logged."""
    found = b""
    while chunk := await stream.read(65536):
        found = (found + chunk)[-MAX_LOG:]
    return found


async def _end(process: Any) -> None:
    """Ends the process and all that it started, but for what left its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_gone(process), GRACE_SECONDS)


async def _gone(process: Any) -> None:
    """asyncio sees the end of a process when its pipes are read to their ends, and not before."""
    for stream in (process.stdout, process.stderr):
        while await stream.read(65536):
            pass
    await process.wait()


def _answer(output: bytes, log: bytes) -> Any:
    try:
        answer = json.loads(output)
    except ValueError:
        lines = log.decode(errors="replace").strip().splitlines()
        shown = " ".join(lines[-5:])[-500:]
        raise CodeFailed(f"the code ended without a result {shown}".strip()) from None
    if "error" in answer:
        raise CodeFailed(answer["error"])
    return answer.get("output")
