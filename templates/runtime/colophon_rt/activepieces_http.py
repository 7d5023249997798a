"""HTTP requests as the HTTP piece of ActivePieces sends them."""

from __future__ import annotations

import base64
from typing import Any

import httpx

from app.colophon_rt.activepieces_values import (
    as_text,
    flag_of,
    json_of,
    number_of,
    object_of,
    parse_json,
    stringify,
    text_of,
)

ATTEMPTS = 3
# When the step sets none.
TIMEOUT_SECONDS = 600.0


class HttpError(RuntimeError):
    """A status of 400 or more, or no answer at all, which counts as 500."""

    def __init__(self, status: int, body: Any, sent: Any) -> None:
        self.status = status
        self.answer = {
            "response": {"status": status, "body": body},
            "request": {"body": sent},
        }
        super().__init__(stringify(self.answer))


async def send_request(given: dict[str, Any]) -> Any:
    """Sends a request, again or not as its failure mode says."""
    mode = text_of(given, "failureMode", required=False)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await _send(given)
        except HttpError as error:
            again, go_on = _after(error.status, mode, flag_of(given, "failsafe"))
            if go_on:
                return error.answer
            if not again or attempt == ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _after(status: int, mode: str | None, failsafe: bool) -> tuple[bool, bool]:
    """Whether the request is sent again, and whether its failure is an answer like others."""
    if mode == "retry_all":
        return True, False
    if mode == "retry_5xx":
        return status >= 500, status < 500
    if mode == "continue_4xx":
        return status >= 500, status < 500
    return False, mode == "continue_all" or failsafe


async def _send(given: dict[str, Any]) -> Any:
    url = (text_of(given, "url") or "").strip()
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError("only http and https addresses are requested")
    sent, content = _body(given)
    headers = {name: as_text(v) for name, v in object_of(given, "headers").items()}
    headers.update(_authentication(given))
    if "content" in content and not any(n.lower() == "content-type" for n in headers):
        plain = isinstance(sent, str)
        kind = "application/x-www-form-urlencoded" if plain else "application/json"
        headers["Content-Type"] = kind
    seconds = number_of(given, "timeout") if given.get("timeout") else TIMEOUT_SECONDS
    follow = given.get("followRedirects") not in (False, "false")
    params = [(name, as_text(v)) for name, v in object_of(given, "queryParams").items()]
    try:
        async with httpx.AsyncClient(
            timeout=seconds, follow_redirects=follow, max_redirects=21
        ) as client:
            url = httpx.URL(url)
            url = url.copy_merge_params(params) if params else url
            method = (text_of(given, "method") or "").upper()
            response = await client.request(method, url, headers=headers, **content)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise HttpError(500, None, sent) from error
    if response.status_code >= 400:
        raise HttpError(response.status_code, _read(response), sent)
    binary = flag_of(given, "response_is_binary")
    body = base64.b64encode(response.content).decode() if binary else _read(response)
    return {"status": response.status_code, "headers": _headers(response), "body": body}


def _body(given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What is sent, and how the client is told."""
    kind = text_of(given, "body_type", required=False) or "none"
    body = object_of(given, "body")
    data = json_of(body, "data") if kind == "json" else body.get("data")
    if kind == "form_data":
        fields = _fields(json_of(body, "data"))
        return None, {"files": [(name, (None, text)) for name, text in fields]}
    if kind == "none" or data is None or data == "":
        return None, {}
    if isinstance(data, str):
        return data, {"content": data.encode()}
    return data, {"content": stringify(data).encode()}


def _fields(data: Any) -> list[tuple[str, str]]:
    """Fields of a form: a list of rows, or an object as older flows have it."""
    if isinstance(data, dict):
        return [(name, as_text(found)) for name, found in data.items()]
    rows = [row for row in data or [] if isinstance(row, dict)]
    texts = [
        row
        for row in rows
        if row.get("fieldType") == "text" and row.get("textFieldValue")
    ]
    return [(str(row["fieldName"]), as_text(row["textFieldValue"])) for row in texts]


def _authentication(given: dict[str, Any]) -> dict[str, str]:
    fields = object_of(given, "authFields")
    kind = text_of(given, "authType", required=False) or "NONE"
    if kind == "BASIC":
        pair = f"{as_text(fields.get('username'))}:{as_text(fields.get('password'))}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    if kind == "BEARER_TOKEN":
        return {"Authorization": f"Bearer {as_text(fields.get('token'))}"}
    return {}


def _read(response: httpx.Response) -> Any:
    """JSON when it is some, whatever its type says; else text."""
    try:
        return parse_json(response.text)
    except ValueError:
        return response.text


def _headers(response: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = dict(response.headers)
    if "set-cookie" in found:
        found["set-cookie"] = response.headers.get_list("set-cookie")
    return found
