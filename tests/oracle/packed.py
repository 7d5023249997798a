"""What the state of a run holds comes back as it was: kinds, types of columns, missing cells."""

from __future__ import annotations

import datetime
import decimal
import json
import sys
import uuid
from typing import Any

import numpy
import pandas
from lfx.schema.data import Data
from lfx.schema.dataframe import DataFrame
from lfx.schema.message import Message

sys.path.insert(0, sys.argv[1])
from app.colophon_rt.langflow_values import NotStorable, pack, unpack  # noqa: E402


def through(value: Any) -> Any:
    """The value, as another process reads it."""
    return unpack(json.loads(json.dumps(pack(value), allow_nan=False)))


now = datetime.datetime.now(datetime.timezone.utc)
blocks = [{"title": "t", "contents": [{"type": "text", "text": "hi"}]}]
for value in [
    None, True, 1, 2**70, 1.5, float("inf"), "x\0\u2028", b"\0x", (1, (2,)), {1, 2}, [1, {"a": (1, 2)}],
    {1: 2, "$lf": 3}, {"$lf": "Message", "fields": {}}, now, now.date(), uuid.uuid4(),
    decimal.Decimal("1.10"), Data(data={"a": 1, "t": {"b": [1]}}, text_key="a", default_value="d"),
    Message(text="hé", sender="User", files=["a.txt"], session_id="s", more=3),
    Message(text="a", content_blocks=blocks, properties={"source": {"id": "x"}}),
    [Message(text=""), {"inner": Data(data={})}],
]:  # fmt: skip
    got = through(value)
    assert got == value and type(got) is type(value), (value, got)

frame = DataFrame(
    [{"a": 1, "b": "x", "c": 1.5, "d": None, "e": [1, 2]}, {"a": 2, "c": float("nan"), "e": {"z": 1}}]
)
frame["t"] = pandas.to_datetime(["2020-01-01", None])
frame["i"] = numpy.int32(4)
for value in [frame, DataFrame(), DataFrame([{"a": 1}, {"b": 2}]), frame[frame["a"] > 1]]:
    got = through(value)
    pandas.testing.assert_frame_equal(got, value)
    assert type(got) is DataFrame
assert through(numpy.float64(2.5)) == 2.5 and through(numpy.bool_(True)) is True
assert through(pandas.NaT) is None and through(pandas.NA) is None

parts = Data(data={"properties": Message(text="a").properties})
assert through(parts).data["properties"]["state"] == "complete"

for value in [object(), lambda: 1, [object()], Message(text=iter("ab"))]:
    try:
        pack(value)
    except NotStorable:
        continue
    raise AssertionError(value)
