"""`Priority`: what of the traffic matters more under load, as an option; who is given which goes elsewhere."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

LOWEST_PRIORITY = 0
NORMAL_PRIORITY = 5
"""The priority of a request that nobody has given another: 0 goes first under overload, 9 last."""
HIGHEST_PRIORITY = 9

PRIORITY_NAMES = {
    "lowest": LOWEST_PRIORITY,
    "low": 2,
    "normal": NORMAL_PRIORITY,
    "high": 7,
    "critical": HIGHEST_PRIORITY,
}
"""The names that stand for some of the numbers 0 to 9."""


def parse_priority(value: Any) -> int:
    """Return the priority that a number 0 to 9 or a name stands for; raises ValueError for anything else."""
    found = PRIORITY_NAMES.get(value) if isinstance(value, str) else value
    if isinstance(found, bool) or not isinstance(found, int) or not LOWEST_PRIORITY <= found <= HIGHEST_PRIORITY:
        names = ", ".join(PRIORITY_NAMES)
        raise ValueError(f"expected a priority: {names}, or a number from 0 to 9; got {value!r}")
    return found


_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9}, {"type": "string", "enum": [*PRIORITY_NAMES]}]}

Priority = Annotated[int, BeforeValidator(parse_priority), WithJsonSchema(_SCHEMA)]
"""A priority as an option: a number from 0 to 9, or a name for one (lowest 0, low 2, normal 5, high 7, critical 9)."""
