"""Values of LangFlow components as tagged JSON, which is what a run's state holds.

A checkpoint is read by another process, perhaps after an update of lfx, so it holds no objects: only
null, booleans, numbers, text, lists and objects with text keys. What is more is tagged:

    {"$lf": "Message", "fields": {...}, "more": {...}}
    {"$lf": "Data", "data": {...}, "text_key": text, "default_value": any}
    {"$lf": "DataFrame", "columns": [...], "types": [...], "index": [...], "rows": [[...]], ...}
    {"$lf": "datetime" | "date" | "uuid" | "decimal" | "bytes" | "float", "value": text}
    {"$lf": "tuple" | "set", "items": [...]}
    {"$lf": "dict", "items": [[key, value], ...]}    keys that are no text, or `$lf` itself

The table of tags is closed: reading a checkpoint never imports what it names.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import math
import uuid
from enum import Enum
from typing import Any

TAG = "$lf"
# Parts of messages, which turn up in data too. A message makes them of objects itself.
PARTS = ("lfx.schema.properties", "lfx.schema.content_block", "lfx.schema.content_types")
MISSING = ("NaTType", "NAType")  # how pandas writes that a cell has no value


class NotStorable(TypeError):
    """A value that a checkpoint cannot hold, such as a client of a service."""


def pack(value: Any) -> Any:
    """The value as tagged JSON."""
    if value is None or type(value).__name__ in MISSING:
        return None
    if isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return pack(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else _text("int", value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _text("float", value)
    if isinstance(value, list):
        return [pack(item) for item in value]
    if isinstance(value, dict):
        return _pack_dict(value)
    return _pack_simple(value) or _pack_object(value)


def unpack(value: Any) -> Any:
    """The value that was packed."""
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = value.get(TAG)
    if tag is None:
        return {key: unpack(item) for key, item in value.items()}
    return READERS[tag](value)


def _pack_dict(value: dict[Any, Any]) -> dict[str, Any]:
    if all(isinstance(key, str) for key in value) and TAG not in value:
        return {str(key): pack(item) for key, item in value.items()}
    items = [[pack(key), pack(item)] for key, item in value.items()]
    return {TAG: "dict", "items": items}


def _pack_simple(value: Any) -> dict[str, Any] | None:
    """Values of the standard library and of numpy and pandas, whose numbers become Python's."""
    if isinstance(value, tuple):
        return {TAG: "tuple", "items": [pack(item) for item in value]}
    if isinstance(value, set | frozenset):
        return {TAG: "set", "items": sorted((pack(item) for item in value), key=repr)}
    if isinstance(value, datetime.datetime):
        return _text("datetime", value.isoformat())
    if isinstance(value, datetime.date):
        return _text("date", value.isoformat())
    if isinstance(value, uuid.UUID):
        return _text("uuid", value)
    if isinstance(value, decimal.Decimal):
        return _text("decimal", value)
    if isinstance(value, bytes):
        return _text("bytes", base64.b64encode(value).decode())
    return None


def _text(tag: str, value: Any) -> dict[str, Any]:
    return {TAG: tag, "value": str(value)}


def _pack_object(value: Any) -> Any:
    from lfx.schema.data import Data
    from lfx.schema.message import Message
    from pandas import DataFrame

    if isinstance(value, Message):
        return _pack_message(value)
    if isinstance(value, Data):
        own = {"text_key": value.text_key, "default_value": pack(value.default_value)}
        return {TAG: "Data", "data": _pack_dict(value.data), **own}
    if isinstance(value, DataFrame):
        return _pack_frame(value)
    if type(value).__module__ == "numpy":
        return pack(value.tolist())
    if type(value).__module__ in PARTS:
        return pack(value.model_dump())
    raise NotStorable(
        f"a value of type {type(value).__module__}.{type(value).__qualname__} cannot be kept in the "
        "state of a run"
    )


def _pack_message(message: Any) -> dict[str, Any]:
    if not isinstance(message.text, str):
        raise NotStorable("the text of a message is still being streamed")
    fields = {key: item for key, item in message.model_dump().items() if key != "data"}
    # A message keeps its fields a second time, as data; what differs there is kept.
    own = {key: getattr(message, key) for key in fields}
    more = {k: item for k, item in message.data.items() if k not in own or item != own[k]}
    return {TAG: "Message", "fields": pack(fields), "more": pack(more)}


def _pack_frame(frame: Any) -> dict[str, Any]:
    return {
        TAG: "DataFrame",
        "columns": _labels(frame.columns),
        "types": [str(dtype) for dtype in frame.dtypes],
        "index": _labels(frame.index),
        "rows": [pack(list(row)) for row in frame.itertuples(index=False, name=None)],
        "text_key": getattr(frame, "_text_key", "text"),
        "default_value": pack(getattr(frame, "_default_value", "")),
    }


def _labels(index: Any) -> Any:
    """The labels of rows or columns; nothing where they are only numbered from 0."""
    counted = type(index).__name__ == "RangeIndex" and (index.start, index.step) == (0, 1)
    return None if counted else pack(list(index))


def _message(value: dict[str, Any]) -> Any:
    from lfx.schema.message import Message

    message = Message(**unpack(value["fields"]))
    own = value["fields"].keys() & message.data.keys()
    message.data.update({key: getattr(message, key) for key in own})
    message.data.update(unpack(value["more"]))
    return message


def _data(value: dict[str, Any]) -> Any:
    from lfx.schema.data import Data

    default = unpack(value["default_value"])
    return Data(data=unpack(value["data"]), text_key=value["text_key"], default_value=default)


def _frame(value: dict[str, Any]) -> Any:
    import pandas
    from lfx.schema.dataframe import DataFrame

    columns, rows = unpack(value["columns"]), unpack(value["rows"])
    plain = pandas.DataFrame(rows, index=unpack(value["index"]), columns=columns, dtype=object)
    for position, dtype in enumerate(value["types"]):
        if dtype != "object":
            plain.isetitem(position, plain.iloc[:, position].astype(dtype))
    default = unpack(value["default_value"])
    return DataFrame(plain, text_key=value["text_key"], default_value=default)


READERS = {
    "Message": _message,
    "Data": _data,
    "DataFrame": _frame,
    "dict": lambda value: {unpack(key): unpack(item) for key, item in value["items"]},
    "tuple": lambda value: tuple(unpack(item) for item in value["items"]),
    "set": lambda value: {unpack(item) for item in value["items"]},
    "int": lambda value: int(value["value"]),
    "float": lambda value: float(value["value"]),
    "datetime": lambda value: datetime.datetime.fromisoformat(value["value"]),
    "date": lambda value: datetime.date.fromisoformat(value["value"]),
    "uuid": lambda value: uuid.UUID(value["value"]),
    "decimal": lambda value: decimal.Decimal(value["value"]),
    "bytes": lambda value: base64.b64decode(value["value"]),
}
