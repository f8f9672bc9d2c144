"""What an unquoted YAML text stands for, by the core schema of YAML 1.2; quoted texts never come here."""

from __future__ import annotations

import re
from collections.abc import Callable

_LONGEST_NUMBER = 60
_FIRST_OF_NUMBERS = frozenset("+-.0123456789")

_FIXED: dict[str, bool | float | None] = {"": None, "~": None}
_FIXED |= dict.fromkeys(("null", "Null", "NULL"))
_FIXED |= dict.fromkeys(("true", "True", "TRUE"), True)
_FIXED |= dict.fromkeys(("false", "False", "FALSE"), False)
_FIXED |= {sign + form: float(sign + "inf") for sign in ("", "+", "-") for form in (".inf", ".Inf", ".INF")}
_FIXED |= {form: float("nan") for form in (".nan", ".NaN", ".NAN")}

_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], int | float]], ...] = (
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
)


def resolve(text: str) -> str | int | float | bool | None:
    """Return what the unquoted text means (YAML 1.2.2, section 10.3.2).

    `on`, `no`, `1:30` and `2024-01-01` are texts, `0777` is 777; digits beyond any use of a number stay a text.
    """
    if text in _FIXED:
        return _FIXED[text]
    if text[0] in _FIRST_OF_NUMBERS and len(text) <= _LONGEST_NUMBER:
        for pattern, convert in _NUMBERS:
            if pattern.fullmatch(text):
                return convert(text)
    return text
