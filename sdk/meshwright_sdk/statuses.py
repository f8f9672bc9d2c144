"""`Statuses`: an option that names statuses one by one or by class; what follows from a status goes elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_PATTERN = "^[1-5](xx|[0-9][0-9])$"


def _status(value: Any) -> str:
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or re.fullmatch(_PATTERN, text) is None:
        raise ValueError(f"expected a status such as 503, or a class of them such as 5xx; got {value!r}")
    return text


_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string", "pattern": _PATTERN}, {"type": "integer", "minimum": 100, "maximum": 599}]
}

StatusOrClass = Annotated[str, BeforeValidator(_status), WithJsonSchema(_SCHEMA)]
"""A status such as `503`, or a class of them such as `5xx`."""

Statuses = tuple[StatusOrClass, ...]
"""Statuses and classes of them; `every_status` tells which they are."""


def every_status(statuses: Iterable[str]) -> frozenset[int]:
    """Return the statuses that are meant, classes in full."""
    return frozenset(
        status
        for each in statuses
        for status in (range(int(each[0]) * 100, int(each[0]) * 100 + 100) if each.endswith("xx") else (int(each),))
    )
