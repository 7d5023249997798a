"""Values with expressions, as generated ActivePieces flows write them.

A template is a dict with one member:
    {"lit": any}                      the value as it stands
    {"output": [step, *path]}         what is in a step's output, keeping its type
    {"error": [step, *path]}          what is in a failed step's error
    {"step": name}                    a step's {"output", "error"}
    {"connection": [variable, path]}  what is in a connection, which the environment holds
    {"variable": variable}            a project variable, which the environment holds
    {"flatten": [path, keys]}         the values at a way through lists, in one list
    {"text": [template]}              text
    {"zip": [template]}               as many texts as the longest list among the values has items
    {"list": [template]}              a list of templates
    {"object": {k: template}}
Values behave as in JavaScript: what is missing is an empty text, `length` counts, numbers are written
without a needless `.0`.
"""

from __future__ import annotations

import json
import math
import os
from decimal import Decimal
from typing import Any

# Names that lead out of the data of an object, in JavaScript.
BLOCKED = frozenset({"__proto__", "constructor", "prototype"})


class MissingConnection(LookupError):
    """The environment lacks a connection or variable that the flow uses."""


def value(template: dict[str, Any], steps: dict[str, Any]) -> Any:
    """The value of a template."""
    ((kind, body),) = template.items()
    if kind == "lit":
        return body
    if kind == "text":
        return "".join(as_text(value(part, steps)) for part in body)
    if kind == "zip":
        return _zip(body, steps)
    if kind == "list":
        return [value(item, steps) for item in body]
    if kind == "object":
        return {key: value(item, steps) for key, item in body.items()}
    found = _token(kind, body, steps)
    return "" if found is None else found


def _token(kind: str, body: Any, steps: dict[str, Any]) -> Any:
    if kind == "output":
        return lookup(_entry(steps, body[0]).get("output"), body[1:])
    if kind == "error":
        return lookup(_error(_entry(steps, body[0])), body[1:])
    if kind == "step":
        entry = _entry(steps, body)
        parts = {"output": entry.get("output"), "error": _error(entry)}
        return {name: part for name, part in parts.items() if part is not None} or None
    if kind == "connection":
        return lookup(_secret(body[0]), body[1])
    if kind == "variable":
        return _variable(body)
    if kind == "flatten":
        path, keys = body
        return _flatten(lookup(_entry(steps, path[0]).get("output"), path[1:]), keys)
    raise ValueError(f"unknown kind of template: {kind}")


def _entry(steps: dict[str, Any], name: str) -> dict[str, Any]:
    return steps.get(name, {})


def _error(entry: dict[str, Any]) -> dict[str, Any] | None:
    message = entry.get("errorMessage")
    return None if message is None else {"message": message}


def lookup(found: Any, path: list[str]) -> Any:
    """What is at `path` in a value; None when there is nothing."""
    for key in path:
        found = _member(found, key)
    return found


def _member(found: Any, key: str) -> Any:
    if key in BLOCKED:
        return None
    if isinstance(found, dict):
        return found.get(key)
    if isinstance(found, str):
        found = _units(found)
    if not isinstance(found, list):
        return None
    if key == "length":
        return len(found)
    position = (
        int(key) if key.isascii() and key.isdigit() and str(int(key)) == key else -1
    )
    return found[position] if 0 <= position < len(found) else None


def _units(text: str) -> list[str]:
    """The characters of a text as JavaScript counts them: in UTF-16."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return [
        raw[at : at + 2].decode("utf-16-le", "surrogatepass")
        for at in range(0, len(raw), 2)
    ]


def _flatten(found: Any, keys: list[str]) -> list[Any]:
    if isinstance(found, list):
        return [inner for item in found for inner in _flatten(item, keys)]
    if isinstance(found, dict):
        return _flatten(found[keys[0]], keys[1:]) if keys and keys[0] in found else []
    return [] if keys else [found]


def _zip(parts: list[dict[str, Any]], steps: dict[str, Any]) -> list[str]:
    values = [value(part, steps) for part in parts]
    lists = [found for found in values if isinstance(found, list)]
    longest = max((len(found) for found in lists), default=0)

    def at(found: Any, index: int) -> str:
        if isinstance(found, list):
            found = found[index] if index < len(found) else None
        return "" if found is None else as_text(found)

    return ["".join(at(found, index) for found in values) for index in range(longest)]


def _secret(variable: str) -> Any:
    """A connection: an object when the variable holds JSON of one, else text."""
    raw = _variable(variable)
    try:
        found = parse_json(raw)
    except ValueError:
        return raw
    return found if isinstance(found, dict) else raw


def _variable(variable: str) -> str:
    raw = os.environ.get(variable)
    if raw is None:
        raise MissingConnection(f"the environment variable {variable} is not set")
    return raw


def as_text(found: Any) -> str:
    """How a value reads inside a text: text as it stands, else compact JSON."""
    return found if isinstance(found, str) else stringify(found)


def stringify(found: Any) -> str:
    """JSON as JavaScript writes it."""
    if isinstance(found, str):
        return json.dumps(found, ensure_ascii=False)
    if isinstance(found, list):
        return "[" + ",".join(stringify(item) for item in found) + "]"
    if isinstance(found, dict):
        members = (
            f"{stringify(str(key))}:{stringify(item)}" for key, item in found.items()
        )
        return "{" + ",".join(members) + "}"
    if isinstance(found, float) and not math.isfinite(found):
        return "null"
    return js_string(found)


def js_string(found: Any) -> str:
    """What `String(value)` gives in JavaScript."""
    if found is None:
        return "null"
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, (int, float)):
        return _number_text(found)
    if isinstance(found, list):
        return ",".join("" if item is None else js_string(item) for item in found)
    return "[object Object]" if isinstance(found, dict) else str(found)


def _number_text(number: float) -> str:
    if isinstance(number, float) and not math.isfinite(number):
        return (
            "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
        )
    if number == int(number) and abs(number) < 1e21:
        return str(int(number))
    written = repr(float(number))
    if "e" not in written:
        return written
    mantissa, exponent = written.split("e")
    if -7 < int(exponent) < 21:
        return format(Decimal(written), "f")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"


def parse_json(text: str) -> Any:
    """JSON as JavaScript reads it: no NaN, no infinities."""
    return json.loads(text, parse_constant=_no_constant)


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def to_number(found: Any) -> float | None:
    """What `Number(value)` gives in JavaScript; None for NaN."""
    if found is None or found is False:
        return 0
    if found is True:
        return 1
    if isinstance(found, list):
        found = js_string(found)
    if isinstance(found, (int, float)):
        return None if isinstance(found, float) and math.isnan(found) else found
    return _spelled(found.strip()) if isinstance(found, str) else None


def _spelled(text: str) -> float | None:
    if text == "":
        return 0
    if not text.isascii() or "_" in text:
        return None
    try:
        if text[:2].lower() in ("0x", "0o", "0b"):
            return int(text, 0)
        if text.lstrip("+-")[:1].isalpha() and text.lstrip("+-") != "Infinity":
            return None
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def is_true(found: Any) -> bool:
    """Whether a value holds in a condition of JavaScript: empty lists and objects do."""
    if isinstance(found, float) and math.isnan(found):
        return False
    return isinstance(found, (list, dict)) or bool(found)


# How properties of pieces are read, by their type. Errors are those of the engine.


def text_of(found: dict[str, Any], name: str, required: bool = True) -> str | None:
    """A property of the type text."""
    given = found.get(name)
    if isinstance(given, (dict, list)):
        given = stringify(given)
    if given is None or (given == "" and not required):
        if required:
            raise ValueError(f"{name}: Expected string, received: undefined")
        return None
    return js_string(given)


def number_of(found: dict[str, Any], name: str) -> float:
    """A property of the type number."""
    given = found.get(name)
    number = None if given is None or given == "" else to_number(given)
    if number is None:
        shown = "undefined" if given is None else as_text(given)
        raise ValueError(f"{name}: Expected number, received: {shown}")
    return number


def list_of(found: dict[str, Any], name: str) -> list[Any]:
    """A property of the type array."""
    given = found.get(name)
    if not isinstance(given, list):
        shown = "undefined" if given is None else as_text(given)
        raise ValueError(f"{name}: Expected array, received: {shown}")
    return given


def object_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    """A property of the type object; what is none is an empty one."""
    given = json_of(found, name)
    return given if isinstance(given, dict) else {}


def json_of(found: dict[str, Any], name: str) -> Any:
    """A property of the type JSON: text is read as JSON when it is, and else stays text."""
    given = found.get(name)
    if isinstance(given, str):
        try:
            return parse_json(given)
        except ValueError:
            return given
    return given


def flag_of(found: dict[str, Any], name: str) -> bool:
    """A property of the type checkbox."""
    given = found.get(name)
    return given is True or given == "true"
