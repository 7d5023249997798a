"""The comparisons of routers."""

from __future__ import annotations

from typing import Any

from app.colophon_rt.values import MissingValue, Scope, as_text, value


def holds(condition: dict[str, Any], scope: Scope) -> bool:
    """Whether a condition {"op", "left", "right", "case_sensitive"} holds."""
    op = condition["op"]
    try:
        left = value(condition["left"], scope)
        present = left is not None
    except MissingValue:
        left, present = None, False
    if op in ("exists", "not_exists"):
        return present == (op == "exists")
    if op in ("empty", "not_empty"):
        return (left in (None, "", [], {})) == (op == "empty")
    if op in ("true", "false"):
        return left is (op == "true")
    right = value(condition["right"], scope)
    if not condition["case_sensitive"]:
        left, right = _fold(left), _fold(right)
    return _compare(op, left, right)


def _compare(op: str, left: Any, right: Any) -> bool:
    if op == "eq":
        return left == right
    if op == "ne":
        return left != right
    if op == "contains":
        return _contains(left, right)
    if op == "not_contains":
        return not _contains(left, right)
    if op == "starts_with":
        return as_text(left).startswith(as_text(right))
    if op == "ends_with":
        return as_text(left).endswith(as_text(right))
    first, second = _number(left), _number(right)
    if first is None or second is None:
        return False
    return {
        "gt": first > second,
        "ge": first >= second,
        "lt": first < second,
        "le": first <= second,
    }[op]


def _contains(left: Any, right: Any) -> bool:
    if isinstance(left, (list, dict)):
        return right in left
    return as_text(right) in as_text(left)


def _fold(found: Any) -> Any:
    return found.casefold() if isinstance(found, str) else found


def _number(found: Any) -> float | None:
    """The number that a value is or spells; None when it is none."""
    if isinstance(found, bool) or not isinstance(found, (int, float, str)):
        return None
    try:
        return float(found)
    except ValueError:
        return None
