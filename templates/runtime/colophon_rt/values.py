"""Values with references, as generated flows write them.

A template is a dict with one member:
    {"lit": any}             the value as it stands
    {"ref": [root, *path]}   what the reference names, keeping its type
    {"text": [part, ...]}    text; a part is text or a reference (a list)
    {"list": [template]}     a list of templates
    {"object": {k: template}}
The root of a reference is a node's id, "input" or "credential".
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any


class MissingValue(LookupError):
    """A reference names something that the run does not have."""


class MissingCredential(LookupError):
    """The environment lacks a credential that the flow uses."""


@dataclass(frozen=True)
class Scope:
    """What references can name: the run's input, and the outputs of nodes that ran."""

    input: dict[str, Any]
    out: dict[str, Any]
    left_out: frozenset[str] = field(default_factory=frozenset)


def value(template: dict[str, Any], scope: Scope) -> Any:
    """The value of a template."""
    ((kind, body),) = template.items()
    if kind == "lit":
        return body
    if kind == "ref":
        return resolve(body, scope)
    if kind == "text":
        parts = (p if isinstance(p, str) else as_text(resolve(p, scope)) for p in body)
        return "".join(parts)
    if kind == "list":
        return [value(item, scope) for item in body]
    if kind == "object":
        return {key: value(item, scope) for key, item in body.items()}
    raise ValueError(f"unknown kind of template: {kind}")


def resolve(reference: list[str], scope: Scope) -> Any:
    """What a reference names; None when its node was left out by a router."""
    root, *path = reference
    if root == "credential":
        return credential(*path)
    if root in scope.left_out:
        return None
    found = scope.input if root == "input" else scope.out[root]
    for key in path:
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (LookupError, TypeError, ValueError):
            raise MissingValue(f"`{'.'.join(reference)}` has no value") from None
    return found


def credential(name: str, field_name: str | None = None) -> str:
    """The secret in CREDENTIAL_<NAME> or CREDENTIAL_<NAME>_<FIELD> of the environment."""
    variable = "_".join(
        ["CREDENTIAL", name, *([field_name] if field_name else [])]
    ).upper()
    secret = os.environ.get(variable)
    if secret is None:
        raise MissingCredential(f"the environment variable {variable} is not set")
    return secret


def as_text(found: Any) -> str:
    """How a value reads inside a text: text as it stands, nothing for None, else JSON."""
    if isinstance(found, str):
        return found
    if found is None:
        return ""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))
