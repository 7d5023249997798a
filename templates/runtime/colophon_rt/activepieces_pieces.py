"""The pieces of ActivePieces that need no server of their own."""

from __future__ import annotations

import asyncio
import csv
import io
import math
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from langgraph.types import interrupt

from app.colophon_rt import activepieces_date_helper as date_helper
from app.colophon_rt import activepieces_dates as dates
from app.colophon_rt import activepieces_store as store
from app.colophon_rt.activepieces_code import run_own
from app.colophon_rt.activepieces_http import send_request
from app.colophon_rt.activepieces_mail import send_email
from app.colophon_rt.activepieces_values import (
    flag_of,
    js_string,
    json_of,
    list_of,
    number_of,
    object_of,
    parse_json,
    stringify,
    text_of,
)

Input = dict[str, Any]


@dataclass
class Context:
    """What a piece knows of its run, and what it does to it."""

    steps: dict[str, Any]
    run: str = ""
    flow: str = ""
    step: str = ""
    # Inside a loop a run cannot stop to go on later.
    looping: bool = False
    # What the step signs in with. Never part of the state.
    auth: Any = None
    response: dict[str, Any] | None = None
    stopped: bool = False


# Data mapper, JSON


async def advanced_mapping(given: Input, _: Context) -> Any:
    return json_of(given, "mapping")


async def json_to_text(given: Input, _: Context) -> Any:
    return stringify(json_of(given, "json" if "json" in given else "text_object"))


async def text_to_json(given: Input, _: Context) -> Any:
    return parse_json(
        text_of(given, "text" if "text" in given else "text_object") or ""
    )


# Text helper


async def concat(given: Input, _: Context) -> Any:
    separator = text_of(given, "separator", required=False) or ""
    texts = (
        "" if item is None else js_string(item) for item in list_of(given, "texts")
    )
    return separator.join(texts)


async def default_value(given: Input, _: Context) -> Any:
    found = text_of(given, "value", required=False)
    return found if found else text_of(given, "defaultString")


async def split(given: Input, _: Context) -> Any:
    text, delimiter = text_of(given, "text"), text_of(given, "delimiter")
    return list(text) if delimiter == "" else text.split(delimiter)


async def find(given: Input, _: Context) -> Any:
    return await _expression("find", given, "expression", flags="")


async def find_all(given: Input, _: Context) -> Any:
    return await _expression("find_all", given, "expression", flags="g")


async def replace(given: Input, _: Context) -> Any:
    once = flag_of(given, "replaceOnlyFirst")
    new = text_of(given, "replaceValue", required=False) or ""
    wanted = text_of(given, "searchValue")
    if wanted and re.escape(wanted) == wanted and "$" not in new:
        return text_of(given, "text").replace(wanted, new, 1 if once else -1)
    flags = "" if once else "g"
    return await _expression("replace", given, "searchValue", flags, replacement=new)


async def _expression(
    action: str, given: Input, name: str, flags: str, **more: Any
) -> Any:
    flags += "i" if flag_of(given, "ignoreCase") else ""
    what = {"text": text_of(given, "text"), "expression": text_of(given, name)}
    request = {"action": action, "flags": flags, **what, **more}
    return await run_own("activepieces_text.mjs", request)


# Math helper


def tidy(number: float) -> float:
    """A whole number without a fraction, as JavaScript has it."""
    whole = isinstance(number, float) and number.is_integer() and abs(number) < 2**53
    return int(number) if whole else number


def _math(compute: Callable[[float, float], float | None]) -> Piece:
    async def piece(given: Input, _: Context) -> Any:
        found = compute(
            number_of(given, "first_number"), number_of(given, "second_number")
        )
        return None if found is None else tidy(found)

    return piece


def _divide(first: float, second: float) -> float:
    if second == 0:
        raise ValueError("Second number cannot be zero")
    return first / second


def _modulo(first: float, second: float) -> float | None:
    return math.fmod(first, second) if second != 0 else None


def _random(low: float, high: float) -> float:
    return math.floor(random.random() * (high - low + 1) + low)


# CSV


async def csv_to_json(given: Input, _: Context) -> Any:
    text = given.get("csv_text")
    if not isinstance(text, str):
        raise ValueError("The input should be a string.")
    source = io.StringIO(text.removeprefix("\ufeff"), newline="")
    delimiter = text_of(given, "delimiter_type") or ","
    rows = [row or [""] for row in csv.reader(source, delimiter=delimiter, strict=True)]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            width = len(rows[0])
            raise ValueError(
                f"Invalid Record Length: expect {width}, got {len(row)} on {number}"
            )
    if not flag_of(given, "has_headers"):
        return rows
    return [dict(zip(rows[0], row)) for row in rows[1:]]


async def json_to_csv(given: Input, _: Context) -> Any:
    rows = json_of(given, "json_array")
    if not isinstance(rows, list):
        raise ValueError("The input should be a JSON array.")
    flat = [dict(_flat(row, "")) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    lines = [columns, *([row.get(name) for name in columns] for row in flat)]
    delimiter = text_of(given, "delimiter_type") or ","
    return "".join(
        delimiter.join(_cell(cell, delimiter) for cell in line) + "\n"
        for line in lines
        if flat
    )


def _flat(found: Any, name: str) -> list[tuple[str, Any]]:
    """Members inside members, by names with dots."""
    if isinstance(found, list):
        found = {str(index): item for index, item in enumerate(found)}
    if not isinstance(found, dict) or (name and not found):
        return [(name, found)]
    dot = f"{name}." if name else ""
    return [part for key, item in found.items() for part in _flat(item, f"{dot}{key}")]


def _cell(found: Any, delimiter: str) -> str:
    if found is None or found is False:
        return ""
    text = (
        "1" if found is True else found if isinstance(found, str) else stringify(found)
    )
    if any(mark in text for mark in (delimiter, '"', "\n", "\r")):
        return '"' + text.replace('"', '""') + '"'
    return text


# Delay

MILLISECONDS = {
    "seconds": 1000,
    "minutes": 60_000,
    "hours": 3_600_000,
    "days": 86_400_000,
}
# Up to these the piece waits by itself; ActivePieces does too.
WAIT_FOR_MS = 10_000
WAIT_UNTIL_MS = 60_000
LONGEST_MS = 30 * 86_400_000


async def delay_for(given: Input, context: Context) -> Any:
    unit = text_of(given, "unit", required=False) or "seconds"
    amount = number_of(given, "delayFor")
    if amount < 0:
        raise ValueError("delayFor: must be 0 or more")
    wait = tidy(amount * MILLISECONDS[unit])
    await _pause(wait, WAIT_FOR_MS, context)
    return {"delayForInMs": wait, "success": True}


async def delay_until(given: Input, context: Context) -> Any:
    moment = dates.parse(given.get("delayUntilTimestamp"))
    if moment is None:
        shown = given.get("delayUntilTimestamp")
        raise ValueError(
            f"Invalid datetime format. Expected ISO format, received: {shown}"
        )
    await _pause(moment.timestamp() * 1000 - time.time() * 1000, WAIT_UNTIL_MS, context)
    return {"delayTill": dates.iso(moment), "success": True}


async def _pause(wait: float, longest: float, context: Context) -> None:
    if wait > LONGEST_MS:
        raise ValueError("a pause lasts at most 30 days")
    if wait <= longest:
        await asyncio.sleep(max(0.0, wait / 1000))
        return
    if context.looping:
        raise RuntimeError(
            "a run cannot stop inside a loop: the pause there is too long"
        )
    # The step starts anew when the run is resumed, and this returns at once then.
    until = time.time() * 1000 + wait
    moment = dates.iso(dates.EPOCH + timedelta(milliseconds=until))
    interrupt({"step": context.step, "until": moment, "until_ms": int(until)})


# Storage


def _place(given: Input, context: Context) -> tuple[str, str]:
    key = text_of(given, "key") or ""
    if len(key) > 128:
        raise ValueError("a key has at most 128 characters")
    scope = text_of(given, "store_scope", required=False) or "COLLECTION"
    scopes = {"FLOW": f"flow:{context.flow}", "RUN": f"run:{context.run}"}
    return scopes.get(scope, "project"), key


async def store_put(given: Input, context: Context) -> Any:
    return store.change(*_place(given, context), lambda _: text_of(given, "value"))


async def store_get(given: Input, context: Context) -> Any:
    found = store.change(*_place(given, context), lambda old: old)
    return (
        found if found is not None else text_of(given, "defaultValue", required=False)
    )


async def store_remove(given: Input, context: Context) -> Any:
    store.change(*_place(given, context), lambda _: None)
    return {"success": True}


async def store_append(given: Input, context: Context) -> Any:
    new = text_of(given, "value", required=False)
    between = (text_of(given, "separator", required=False) or "").replace("\\n", "\n")

    def append(old: Any) -> Any:
        old = "" if old is None else old
        if not isinstance(old, str):
            raise ValueError(f"Key {given['key']} is not a string")
        return old if not new else old + (between if old else "") + new

    return store.change(*_place(given, context), append)


async def store_add(given: Input, context: Context) -> Any:
    new = json_of(given, "value")
    if not isinstance(new, list):
        raise ValueError("Provided value is not a list.")
    once = flag_of(given, "ignore_if_exists")

    def add(old: Any) -> Any:
        items = _items(old, given)
        for item in new:
            if not (once and item in items):
                items.append(item)
        return items

    return store.change(*_place(given, context), add)


async def store_take(given: Input, context: Context) -> Any:
    wanted = text_of(given, "value")

    def take(old: Any) -> Any:
        items = _items(old, given)
        if wanted in items:
            items.remove(wanted)
        return items

    return store.change(*_place(given, context), take)


def _items(old: Any, given: Input) -> list[Any]:
    items = parse_json(old) if isinstance(old, str) else [] if old is None else old
    if not isinstance(items, list):
        raise ValueError(f"Key {given['key']} is not a list.")
    return items


# Answers


async def webhook_response(given: Input, context: Context) -> Any:
    fields = object_of(given, "fields")
    kind = text_of(given, "responseType", required=False) or "json"
    return _respond(
        fields, kind, text_of(given, "respond", required=False) or "stop", context
    )


async def http_response(given: Input, context: Context) -> Any:
    """What the HTTP piece had before the webhook piece: it always stops."""
    body = json_of(given, "body")
    inner = body["data"] if isinstance(body, dict) and "data" in body else body
    fields = {**given, "body": inner}
    return _respond(
        fields, text_of(given, "body_type", False) or "json", "stop", context
    )


def _respond(fields: Input, kind: str, then: str, context: Context) -> Any:
    status = (
        number_of(fields, "status") if fields.get("status") not in (None, "") else 200
    )
    response = {"status": tidy(status), "headers": object_of(fields, "headers")}
    body = fields.get("body")
    if kind == "json":
        response["body"] = parse_json(body) if isinstance(body, str) else body
    elif kind == "redirect":
        url = str(body)
        there = url if url.startswith(("http://", "https://")) else f"https://{url}"
        response["status"] = 301
        response["headers"] = {**response["headers"], "Location": there}
        response["body"] = body
    else:
        response["body"] = body
    context.response = response
    context.stopped = then == "stop"
    return response


async def subflow_response(given: Input, context: Context) -> Any:
    found = object_of(given, "response").get("response")
    context.response = {"status": 200, "headers": {}, "body": found}
    return found


async def form_response(given: Input, context: Context) -> Any:
    text = text_of(given, "markdown", required=False) or ""
    body = {"type": "markdown", "value": text, "files": []}
    context.response = {"status": 200, "headers": {}, "body": body}
    return body


Piece = Callable[[Input, Context], Awaitable[Any]]

PIECES: dict[str, Piece] = {
    "csv/convert_csv_to_json": csv_to_json,
    "csv/convert_json_to_csv": json_to_csv,
    "data-mapper/advanced_mapping": advanced_mapping,
    "date-helper/add_subtract_date": date_helper.shift_date,
    "date-helper/date_difference": date_helper.date_difference,
    "date-helper/extract_date_parts": date_helper.date_parts,
    "date-helper/format_date": date_helper.format_date,
    "date-helper/get_current_date": date_helper.current_date,
    "delay/delayFor": delay_for,
    "delay/delay_until": delay_until,
    "forms/return_response": form_response,
    "gmail/send_email": lambda given, context: send_email(given, context.auth),
    "http/return_response": http_response,
    "http/send_request": lambda given, _: send_request(given),
    "json/convertJsonToText": json_to_text,
    "json/convertTextToJson": text_to_json,
    "json/convert_json_to_text": json_to_text,
    "json/convert_text_to_json": text_to_json,
    "math-helper/addition_math": _math(lambda first, second: first + second),
    "math-helper/division_math": _math(_divide),
    "math-helper/generateRandom_math": _math(_random),
    "math-helper/modulo_math": _math(_modulo),
    "math-helper/multiplication_math": _math(lambda first, second: first * second),
    # As its text says: the first is taken from the second.
    "math-helper/subtraction_math": _math(lambda first, second: second - first),
    "store/add_to_list": store_add,
    "store/append": store_append,
    "store/get": store_get,
    "store/put": store_put,
    "store/remove_from_list": store_take,
    "store/remove_value": store_remove,
    "subflows/returnResponse": subflow_response,
    "text-helper/concat": concat,
    "text-helper/defaultValue": default_value,
    "text-helper/find": find,
    "text-helper/find_all": find_all,
    "text-helper/replace": replace,
    "text-helper/split": split,
    "webhook/return_response": webhook_response,
}
