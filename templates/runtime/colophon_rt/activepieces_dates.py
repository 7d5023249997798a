"""Dates as ActivePieces has them: those of JavaScript and of the library dayjs, in UTC.

Texts without a zone are read as UTC, as on a server whose clock is UTC.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = tuple(calendar.month_name[1:13])

# What dayjs reads by itself: year first, whatever separates the rest.
PARTS = re.compile(
    r"(?P<Y>\d{4})[-/]?(?P<M>\d{1,2})?[-/]?(?P<D>\d{0,2})"
    r"[Tt\s]*(?P<h>\d{1,2})?:?(?P<m>\d{1,2})?:?(?P<s>\d{1,2})?[.:]?(?P<f>\d+)?"
)
# What JavaScript reads beside ISO 8601 and RFC 2822.
WORDS = ("%b %d %Y", "%B %d %Y", "%d %b %Y", "%d %B %Y")
SPELLED = (*WORDS, "%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y", "%m-%d-%y", "%Y/%m/%d")
TIMES = ("", " %H:%M", " %H:%M:%S")


def parse(found: Any) -> datetime | None:
    """A moment: milliseconds since 1970, or a text. None for what is neither."""
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        return _since_epoch(found)
    if not isinstance(found, str):
        return None
    text = found.strip()
    parts = None if text[-1:] in ("Z", "z") else PARTS.fullmatch(text)
    try:
        return _of_parts(parts) if parts else _spelled(text)
    except (ValueError, OverflowError):
        return None


def _since_epoch(milliseconds: float) -> datetime | None:
    try:
        return EPOCH + timedelta(milliseconds=milliseconds)
    except (ValueError, OverflowError):
        return None


def _of_parts(parts: re.Match[str]) -> datetime:
    given = {name: text for name, text in parts.groupdict().items() if name != "f"}
    absent = {"M": 1, "D": 1}
    number = {n: int(text) if text else absent.get(n, 0) for n, text in given.items()}
    fraction = int((parts["f"] or "0")[:3])
    day = _roll(number["Y"], number["M"], number["D"])
    clock = timedelta(hours=number["h"], minutes=number["m"], seconds=number["s"])
    return day + clock + timedelta(milliseconds=fraction)


def _roll(year: int, month: int, day: int) -> datetime:
    """The 32nd is the 1st of the month after, and so on."""
    years, month = divmod(month - 1, 12)
    first = datetime(year + years, month + 1, 1, tzinfo=timezone.utc)
    return first + timedelta(days=day - 1)


def _spelled(text: str) -> datetime | None:
    for read in (_iso, _rfc2822, _english):
        moment = read(text)
        if moment is not None:
            return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return None


def _iso(text: str) -> datetime | None:
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        return None
    match = re.fullmatch(
        r"(.*[T ]\d\d:\d\d(?::\d\d)?)(\.\d+)?(Z|z|[+-]\d\d:?\d\d)?", text
    )
    if match is None:
        return None
    whole, fraction, zone = match.groups()
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    zone = zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    return datetime.fromisoformat(f"{whole}{(fraction or '.0')[:7]:0<7}{zone}")


def _rfc2822(text: str) -> datetime | None:
    try:
        return (
            parsedate_to_datetime(text)
            if re.match(r"[A-Za-z]{3},? |\d", text)
            else None
        )
    except (TypeError, ValueError, IndexError):
        return None


def _english(text: str) -> datetime | None:
    plain = re.sub(r"^[A-Za-z]{3,9},? (?=[A-Z])", "", text.replace(",", ""))
    for shape in (day + time for day in SPELLED for time in TIMES):
        try:
            return datetime.strptime(plain, shape)
        except ValueError:
            continue
    return None


def iso(moment: datetime) -> str:
    """As JavaScript writes a date in JSON."""
    moment = moment.astimezone(timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def zone_of(name: Any) -> ZoneInfo:
    """A time zone by its IANA name."""
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"Invalid time zone specified: {name}") from None


# The parts of a format, and what each writes.
TOKEN = re.compile(
    r"\[[^\]]*\]|Y{4}|Y{2}|M{1,4}|D{1,2}|d{1,4}|H{1,2}|h{1,2}|m{1,2}|s{1,2}|S{3}|[aAXx]|Z{1,2}"
)

WRITE: dict[str, Callable[[datetime], str]] = {
    "YYYY": lambda t: f"{t.year:04d}",
    "YY": lambda t: f"{t.year % 100:02d}",
    "MMMM": lambda t: MONTHS[t.month - 1],
    "MMM": lambda t: MONTHS[t.month - 1][:3],
    "MM": lambda t: f"{t.month:02d}",
    "M": lambda t: str(t.month),
    "DD": lambda t: f"{t.day:02d}",
    "D": lambda t: str(t.day),
    "dddd": lambda t: DAYS[t.weekday()],
    "ddd": lambda t: DAYS[t.weekday()][:3],
    "dd": lambda t: DAYS[t.weekday()][:2],
    "d": lambda t: str((t.weekday() + 1) % 7),
    "HH": lambda t: f"{t.hour:02d}",
    "H": lambda t: str(t.hour),
    "hh": lambda t: f"{t.hour % 12 or 12:02d}",
    "h": lambda t: str(t.hour % 12 or 12),
    "mm": lambda t: f"{t.minute:02d}",
    "m": lambda t: str(t.minute),
    "ss": lambda t: f"{t.second:02d}",
    "s": lambda t: str(t.second),
    "SSS": lambda t: f"{t.microsecond // 1000:03d}",
    "A": lambda t: "AM" if t.hour < 12 else "PM",
    "a": lambda t: "am" if t.hour < 12 else "pm",
    # dayjs counts by the hands of the clock in the zone, as if they were UTC.
    "X": lambda t: str(_hands(t) // 1000),
    "x": lambda t: str(_hands(t)),
    "Z": lambda t: f"{t:%z}"[:3] + ":" + f"{t:%z}"[3:5],
    "ZZ": lambda t: f"{t:%z}"[:5],
}


def _hands(moment: datetime) -> int:
    since = moment.replace(tzinfo=timezone.utc) - EPOCH
    return since // timedelta(milliseconds=1)


READ = {
    "YYYY": r"(?P<Y>\d{4})",
    "YY": r"(?P<y>\d\d)",
    "MMMM": "(?P<B>" + "|".join(MONTHS) + ")",
    "MMM": "(?P<b>" + "|".join(name[:3] for name in MONTHS) + ")",
    "MM": r"(?P<M>\d\d)",
    "M": r"(?P<M>\d\d?)",
    "DD": r"(?P<D>\d\d)",
    "D": r"(?P<D>\d\d?)",
    "dddd": "(?:" + "|".join(DAYS) + ")",
    "ddd": "(?:" + "|".join(name[:3] for name in DAYS) + ")",
    "HH": r"(?P<h>\d\d?)",
    "H": r"(?P<h>\d\d?)",
    "mm": r"(?P<m>\d\d?)",
    "m": r"(?P<m>\d\d?)",
    "ss": r"(?P<s>\d\d?)",
    "s": r"(?P<s>\d\d?)",
}


def pattern_of(text: str) -> str:
    """A format of the date helper in dayjs' letters: it writes days of the week with capitals."""
    return text.replace("DDDD", "dddd").replace("DDD", "ddd")


def write(moment: datetime, pattern: str) -> str:
    """A moment in a format of the date helper."""

    def part(token: re.Match[str]) -> str:
        text = token.group()
        return (
            text[1:-1]
            if text.startswith("[")
            else WRITE.get(text, lambda _: text)(moment)
        )

    return TOKEN.sub(part, pattern_of(pattern))


def read(text: str, pattern: str) -> datetime:
    """A text in a format of the date helper; one that does not fit is read without it."""
    pattern = pattern_of(pattern)
    moment = _stamp(text, pattern) or _fitting(text, pattern) or parse(text)
    if moment is None:
        raise ValueError(f"Failed to parse the date: {text} with format: {pattern}")
    return moment


def _stamp(text: str, pattern: str) -> datetime | None:
    if pattern not in ("X", "x") or not re.fullmatch(r"[+-]?\d+(\.\d+)?", text.strip()):
        return None
    return _since_epoch(float(text) * (1000 if pattern == "X" else 1))


def _fitting(text: str, pattern: str) -> datetime | None:
    shape, end = "", 0
    for token in TOKEN.finditer(pattern):
        shape += re.escape(pattern[end : token.start()]) + READ.get(
            token.group(), r"\S+"
        )
        end = token.end()
    try:
        found = re.match(shape + re.escape(pattern[end:]), text)
    except re.error:
        return None
    if found is None or not re.search("Y|y", "".join(found.groupdict())):
        return None
    return _of_fields(found.groupdict())


def _of_fields(field: dict[str, str]) -> datetime | None:
    year = int(field["Y"]) if "Y" in field else int(field["y"])
    if "Y" not in field:
        year += 1900 if year > 68 else 2000
    names = [name[:3] for name in MONTHS]
    word = field.get("B") or field.get("b")
    month = names.index(word[:3]) + 1 if word else int(field.get("M", 1))
    hour, minute, second = (int(field.get(name, 0)) for name in "hms")
    try:
        return _roll(year, month, int(field.get("D", 1))) + timedelta(
            hours=hour, minutes=minute, seconds=second
        )
    except (ValueError, OverflowError):
        return None


def relabel(moment: datetime, zone: ZoneInfo) -> datetime:
    """The same hands of the clock in another zone."""
    return moment.replace(tzinfo=zone)


def add(moment: datetime, amount: int, unit: str) -> datetime:
    """Years, months and days move the calendar; hours, minutes and seconds the clock."""
    if unit in ("hour", "minute", "second"):
        shifted = moment.astimezone(timezone.utc) + timedelta(**{f"{unit}s": amount})
        return shifted.astimezone(moment.tzinfo)
    if unit == "day":
        return moment + timedelta(days=amount)
    months = moment.month - 1 + amount * (12 if unit == "year" else 1)
    year, month = moment.year + months // 12, months % 12 + 1
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return moment.replace(year=year, month=month, day=day)
