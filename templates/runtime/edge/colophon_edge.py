"""Runtime of edge scripts: the same file in every bundle.

A script reads one job from standard input, {"run_id", "payload", "env"}, and writes one answer to
standard output, {"run_id", "segment", "result"} or {"run_id", "segment", "error"}. `env` holds the
secrets that the bundle's manifest names; one that is missing there is taken from the environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

FIRST_RETRY_SECONDS = 0.5

# Wheels that came along.
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vendor"))


@dataclass
class Scope:
    """What references can name: the payload, secrets, and the results of steps before."""

    payload: dict[str, Any]
    env: dict[str, str]
    out: dict[str, Any] = field(default_factory=dict)

    def value(self, template: dict[str, Any]) -> Any:
        """The value of a template: {"lit"}, {"ref"}, {"text"}, {"list"} or {"object"}."""
        ((kind, body),) = template.items()
        if kind == "lit":
            return body
        if kind == "ref":
            return self._resolve(body)
        if kind == "text":
            return "".join(
                p if isinstance(p, str) else _as_text(self._resolve(p)) for p in body
            )
        if kind == "list":
            return [self.value(item) for item in body]
        if kind == "object":
            return {key: self.value(item) for key, item in body.items()}
        raise ValueError(f"unknown kind of template: {kind}")

    def text(self, template: dict[str, Any]) -> str:
        """The value of a template as text."""
        return _as_text(self.value(template))

    def url(self, template: dict[str, Any]) -> str:
        """The value of a template as a web address."""
        address = self.text(template)
        if not address.startswith(("http://", "https://")):
            raise ValueError("only http and https addresses are opened")
        return address

    def _resolve(self, reference: list[str]) -> Any:
        root, *path = reference
        if root == "payload":
            return self.payload[path[0]]
        if root == "env":
            name = path[0]
            return self.env[name] if name in self.env else os.environ[name]
        found = self.out[root]
        for key in path:
            found = found[int(key)] if isinstance(found, list) else found[key]
        return found


@dataclass(frozen=True)
class Step:
    """One node of the segment."""

    id: str
    call: Callable[[Any, Scope], Any]
    on_error: str = "fail"
    retry: int = 0
    timeout_ms: int = 30_000


def main(segment: str, steps: list[Step]) -> int:
    """Runs a segment; 0 when it succeeded."""
    job = json.load(sys.stdin)
    scope = Scope(job.get("payload", {}), job.get("env", {}))
    answer = {"run_id": job.get("run_id"), "segment": segment}
    try:
        with_page(lambda page: run(page, scope, steps))
        answer["result"] = scope.out
    except Exception as error:
        answer["error"] = _message(error)
    json.dump(answer, sys.stdout)
    return 1 if "error" in answer else 0


def run(page: Any, scope: Scope, steps: list[Step]) -> None:
    """Runs the steps in order on one page."""
    for step in steps:
        page.set_default_timeout(step.timeout_ms)
        try:
            scope.out[step.id] = _attempts(page, scope, step)
        except Exception as error:
            if step.on_error != "continue":
                raise
            scope.out[step.id] = {"error": _message(error)}


def with_page(work: Callable[[Any], None]) -> None:
    """Gives `work` a page of a fresh browser; COLOPHON_CHROMIUM names one that is installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("COLOPHON_CHROMIUM") or None
        )
        try:
            work(browser.new_page())
        finally:
            browser.close()


def _attempts(page: Any, scope: Scope, step: Step) -> Any:
    for attempt in range(step.retry):
        try:
            return step.call(page, scope)
        except Exception:
            time.sleep(FIRST_RETRY_SECONDS * 2**attempt)
    return step.call(page, scope)


def _as_text(found: Any) -> str:
    if isinstance(found, str):
        return found
    if found is None:
        return ""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def _message(error: Exception) -> str:
    """One line: the rest of a browser error repeats what the page held."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
