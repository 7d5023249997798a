"""What a runner and a launcher say to each other: signed JSON over HTTP.

Messages are signed as Standard Webhooks describes: `webhook-id`, `webhook-timestamp` (seconds since
1970) and `webhook-signature`, "v1," and the base64 of HMAC-SHA256 over "<id>.<timestamp>.<body>". The
key is COLOPHON_EDGE_SECRET on both sides. The same file stands in the cloud and in every edge bundle.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MAX_PAYLOAD = 256 * 1024
MAX_BODY = MAX_PAYLOAD + 4096
TOLERANCE_SECONDS = 300
MIN_SECRET = 32
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

Answer = tuple[int, dict[str, Any]]


class Refused(Exception):
    """A request that is not served: the status, and what to tell."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def secret() -> bytes:
    """The key that both sides share."""
    text = os.environ.get("COLOPHON_EDGE_SECRET", "")
    if len(text) < MIN_SECRET:
        raise SystemExit(
            f"COLOPHON_EDGE_SECRET must hold at least {MIN_SECRET} characters"
        )
    return text.encode()


def peer(url: str) -> str:
    """A base address to send to: https, or http on this machine alone."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or parts.scheme == "http" and _is_local(parts.hostname):
        return url.rstrip("/")
    raise SystemExit(f"{url}: only https, and http on this machine, is sent to")


def _is_local(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def sign(key: bytes, message: str, body: bytes, now: float) -> dict[str, str]:
    """The headers of a message."""
    stamp = str(int(now))
    return {
        "Content-Type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + _mac(key, message, stamp, body),
    }


def verify(key: bytes, headers: Any, body: bytes, now: float) -> str:
    """The id of a message whose signature holds and whose time is near."""
    message, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "").split(" ")
    wanted = "v1," + _mac(key, message, stamp, body)
    if not any(hmac.compare_digest(one.encode(), wanted.encode()) for one in given):
        raise Refused(401, "the signature is missing or wrong")
    if not stamp.isdigit() or abs(now - int(stamp)) > TOLERANCE_SECONDS:
        raise Refused(401, "the message is too old, or a clock is wrong")
    return message


def _mac(key: bytes, message: str, stamp: str, body: bytes) -> str:
    signed = f"{message}.{stamp}.".encode() + body
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def send(url: str, key: bytes, message: str, value: Any) -> Answer:
    """Sends a message; the status and the answer. OSError when there was none."""
    body = json.dumps(value).encode()
    request = urllib.request.Request(
        url, data=body, headers=sign(key, message, body, time.time())
    )
    try:
        with _opener().open(request, timeout=30) as response:
            return response.status, read_json(response.read(MAX_BODY + 1))
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {"error": error.read(2000).decode(errors="replace")}


def _opener() -> urllib.request.OpenerDirector:
    """Without redirects: a signed message is for the address that was configured."""

    class NoRedirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    return urllib.request.build_opener(NoRedirects)


def read_json(body: bytes) -> dict[str, Any]:
    """An object out of a body."""
    if len(body) > MAX_BODY:
        raise Refused(413, f"more than {MAX_BODY} bytes")
    try:
        value = json.loads(body)
    except ValueError:
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise Refused(400, "the body is not a JSON object")
    return value


def read_answer(value: dict[str, Any]) -> dict[str, Any]:
    """{"run_id", "segment"} with either {"result": object} or {"error": text}, and nothing else."""
    known = {"run_id", "segment", "result", "error"}
    good = (
        set(value) <= known
        and ("result" in value) != ("error" in value)
        and all(isinstance(value.get(name), str) for name in ("run_id", "segment"))
        and isinstance(value.get("result", {}), dict)
        and isinstance(value.get("error", ""), str)
    )
    if not good:
        raise Refused(400, "an answer has run_id, segment, and either result or error")
    return value


def server(
    listen: str, handle: Callable[[str, str, Any, bytes], Answer]
) -> ThreadingHTTPServer:
    """A server at "host:port" that gives each request to `handle(method, path, headers, body)`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def log_request(self, *_: Any) -> None:
            """Only what goes wrong is logged."""

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            try:
                status, value = handle(
                    self.command, self.path, self.headers, self._body()
                )
            except Refused as refused:
                status, value = refused.status, {"error": str(refused)}
            except Exception as error:
                self.log_error("%s: %s", type(error).__name__, error)
                status, value = 500, {"error": "the request failed"}
            body = json.dumps(value).encode()
            self.close_connection = True
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def _body(self) -> bytes:
            length = self.headers.get("Content-Length", "0")
            if not length.isdigit() or "Transfer-Encoding" in self.headers:
                raise Refused(411, "a Content-Length is needed")
            if int(length) > MAX_BODY:
                raise Refused(413, f"more than {MAX_BODY} bytes")
            return self.rfile.read(int(length))

    host, _, port = listen.rpartition(":")
    made = ThreadingHTTPServer((host.strip("[]") or "127.0.0.1", int(port)), Handler)
    made.daemon_threads = True
    return made
