"""The date helper of ActivePieces."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from app.colophon_rt import activepieces_dates as dates
from app.colophon_rt.activepieces_values import flag_of, list_of, text_of

Input = dict[str, Any]


async def current_date(given: Input, _: Any) -> Any:
    zone = dates.zone_of(given.get("timeZone") or "UTC")
    return {"result": dates.write(datetime.now(zone), text_of(given, "timeFormat"))}


async def format_date(given: Input, _: Any) -> Any:
    moment = dates.read(text_of(given, "inputDate"), text_of(given, "inputFormat"))
    moment = dates.relabel(moment, dates.zone_of(given.get("inputTimeZone") or "UTC"))
    moment = moment.astimezone(dates.zone_of(given.get("outputTimeZone") or "UTC"))
    return {"result": dates.write(moment, text_of(given, "outputFormat"))}


PARTS: dict[str, Callable[[datetime], Any]] = {
    "year": lambda t: t.year,
    "month": lambda t: t.month,
    "day": lambda t: t.day,
    "hour": lambda t: t.hour,
    "minute": lambda t: t.minute,
    "second": lambda t: t.second,
    "dayOfWeek": lambda t: dates.write(t, "dddd"),
    "monthName": lambda t: dates.write(t, "MMMM"),
}


async def date_parts(given: Input, _: Any) -> Any:
    moment = dates.read(text_of(given, "inputDate"), text_of(given, "inputFormat"))
    return {unit: PARTS[unit](moment) for unit in list_of(given, "unitExtract")}


# A duration is taken apart from its largest part down; a month has 30 days and a year 365.
SECONDS = {
    "year": 365 * 86_400,
    "month": 30 * 86_400,
    "day": 86_400,
    "hour": 3_600,
    "minute": 60,
    "second": 1,
}


async def date_difference(given: Input, _: Any) -> Any:
    start = dates.read(text_of(given, "startDate"), text_of(given, "startDateFormat"))
    end = dates.read(text_of(given, "endDate"), text_of(given, "endDateFormat"))
    rest, parts = (end - start).total_seconds(), {}
    for unit, seconds in SECONDS.items():
        parts[unit] = int(rest / seconds)
        rest = math.fmod(rest, seconds)
    return {unit: parts[unit] for unit in list_of(given, "unitDifference")}


async def shift_date(given: Input, _: Any) -> Any:
    moment = dates.read(text_of(given, "inputDate"), text_of(given, "inputDateFormat"))
    zone = given.get("timeZone")
    if zone:
        moment = moment.astimezone(dates.zone_of(zone))
    expression = re.sub(r"\s", "", text_of(given, "expression") or "")
    for sign, amount, unit in re.findall(r"([+-]?)(\d+)([A-Za-z]+)", expression):
        unit = unit.lower().removesuffix("s")
        if unit in SECONDS:
            moment = dates.add(moment, int(amount) * (-1 if sign == "-" else 1), unit)
    clock = text_of(given, "setTime", required=False)
    if zone and flag_of(given, "useCurrentTime"):
        clock = f"{datetime.now(dates.zone_of(zone)):%H:%M}"
    if clock and not re.fullmatch(r"\d\d:\d\d", clock):
        raise ValueError("setTime: HH:mm is expected")
    if zone and clock:
        hour, minute = map(int, clock.split(":"))
        moment = moment.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return {"result": dates.write(moment, text_of(given, "outputFormat"))}
