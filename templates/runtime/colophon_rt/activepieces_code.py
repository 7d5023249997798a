"""CODE steps, and the pieces of this runtime that are JavaScript: run as javascript.py says, for a
minute at most."""

from __future__ import annotations

import asyncio
import pathlib
from typing import Any

from app.colophon_rt import javascript

SECONDS = 60.0

HERE = pathlib.Path(__file__).resolve().parent


async def run_script(sha256: str, inputs: Any) -> Any:
    """What the function `code` of a script returns."""
    return await _run(javascript.script(sha256), inputs)


async def run_own(name: str, inputs: Any) -> Any:
    """What the function `code` of a script of this runtime returns."""
    return await _run((HERE / name).read_text(encoding="utf-8"), inputs)


async def _run(source: str, inputs: Any) -> Any:
    try:
        return await asyncio.wait_for(javascript.run(source, inputs, "code"), SECONDS)
    except asyncio.TimeoutError:
        raise javascript.CodeFailed(
            f"the code ran longer than {SECONDS:g} seconds"
        ) from None
