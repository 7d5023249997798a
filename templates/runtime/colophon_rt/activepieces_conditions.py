"""The comparisons of ActivePieces routers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.colophon_rt import activepieces_dates as dates
from app.colophon_rt.activepieces_values import (
    as_text,
    is_true,
    parse_json,
    to_number,
    value,
)


def holds(condition: dict[str, Any], steps: dict[str, Any]) -> bool:
    """Whether a condition {"operator", "first", "second", "case_sensitive"} holds."""
    operator = condition["operator"]
    first = value(condition["first"], steps)
    if "second" not in condition:
        return OF_ONE[operator](first)
    second = value(condition["second"], steps)
    return _of_two(operator, first, second, condition.get("case_sensitive", False))


OF_ONE: dict[str, Callable[[Any], bool]] = {
    "BOOLEAN_IS_TRUE": is_true,
    "BOOLEAN_IS_FALSE": lambda found: not is_true(found),
    "LIST_IS_EMPTY": lambda found: _list(found) == [],
    "LIST_IS_NOT_EMPTY": lambda found: bool(_list(found)),
    "EXISTS": lambda found: found is not None and found != "",
    "DOES_NOT_EXIST": lambda found: found is None or found == "",
}

TEXT: dict[str, Callable[[str, str], bool]] = {
    "TEXT_CONTAINS": lambda first, second: second in first,
    "TEXT_DOES_NOT_CONTAIN": lambda first, second: second not in first,
    "TEXT_EXACTLY_MATCHES": lambda first, second: first == second,
    "TEXT_DOES_NOT_EXACTLY_MATCH": lambda first, second: first != second,
    "TEXT_START_WITH": lambda first, second: first.startswith(second),
    "TEXT_DOES_NOT_START_WITH": lambda first, second: not first.startswith(second),
    "TEXT_ENDS_WITH": lambda first, second: first.endswith(second),
    "TEXT_DOES_NOT_END_WITH": lambda first, second: not first.endswith(second),
}

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "NUMBER_IS_GREATER_THAN": lambda first, second: first > second,
    "NUMBER_IS_LESS_THAN": lambda first, second: first < second,
    "NUMBER_IS_EQUAL_TO": lambda first, second: first == second,
    "DATE_IS_AFTER": lambda first, second: first > second,
    "DATE_IS_BEFORE": lambda first, second: first < second,
    "DATE_IS_EQUAL": lambda first, second: first == second,
}


def _of_two(operator: str, first: Any, second: Any, case_sensitive: bool) -> bool:
    if operator in TEXT:
        return TEXT[operator](
            _fold(first, case_sensitive), _fold(second, case_sensitive)
        )
    if operator in ("LIST_CONTAINS", "LIST_DOES_NOT_CONTAIN"):
        wanted = _fold(second, case_sensitive)
        inside = any(
            _fold(item, case_sensitive) == wanted for item in _some_list(first)
        )
        return inside == (operator == "LIST_CONTAINS")
    if operator.startswith("DATE_"):
        moments = [dates.parse(side) for side in (first, second)]
        return None not in moments and ORDER[operator](*moments)
    return _numbers(ORDER[operator], first, second)


def _numbers(compare: Callable[[Any, Any], bool], first: Any, second: Any) -> bool:
    """As JavaScript: what spells no number stays a text; a text and a number never compare."""
    numbers = to_number(first), to_number(second)
    if None not in numbers:
        return compare(*numbers)
    both_texts = isinstance(first, str) and isinstance(second, str)
    return numbers == (None, None) and both_texts and compare(first, second)


def _fold(found: Any, case_sensitive: bool) -> str:
    text = as_text(found)
    return text if case_sensitive else text.lower()


def _list(found: Any) -> list[Any] | None:
    """A list, also when it is spelled as JSON."""
    if isinstance(found, str):
        try:
            found = parse_json(found)
        except ValueError:
            return None
    return found if isinstance(found, list) else None


def _some_list(found: Any) -> list[Any]:
    """A list; what is none is a list of it alone."""
    if isinstance(found, str):
        try:
            found = parse_json(found)
        except ValueError:
            return [found]
    return found if isinstance(found, list) else [found]
