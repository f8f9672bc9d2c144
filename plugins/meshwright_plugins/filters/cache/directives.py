"""Cache-Control and dates as they stand in header fields (RFC 9111, section 5); nothing follows from them here."""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from email.utils import parsedate_tz
from functools import lru_cache
from types import MappingProxyType

Directives = Mapping[str, str]
"""Directives by lower-case name, with their argument or an empty text; of equal ones the first counts."""

NOTHING: Directives = MappingProxyType({})
MOST_S = 2**31
"""What a longer time counts as (RFC 9111, section 1.2.2)."""

_MEMBERS = re.compile(rb'(?:[^",]+|"(?:[^"\\]|\\.)*(?:"|\Z|\\\Z))+')
_ESCAPED = re.compile(r"\\(.)")


@lru_cache(maxsize=512)
def parse(value: bytes) -> Directives:
    """Return the directives of a Cache-Control field; several fields are joined by commas before."""
    members = _MEMBERS.findall(value) if b'"' in value else value.split(b",")
    found: dict[str, str] = {}
    for member in members:
        name, _, argument = member.decode("latin-1").partition("=")
        if name := name.strip(" \t").lower():
            found.setdefault(name, _unquoted(argument.strip(" \t")))
    return MappingProxyType(found)


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _ESCAPED.sub(r"\1", text[1:-1])
    return text


def seconds(argument: str) -> int:
    """Return a time in seconds; one that makes no sense counts as none at all (RFC 9111, section 4.2.1)."""
    if argument.isascii() and argument.isdigit():
        return min(int(argument[:12]), MOST_S)
    return 0


def seconds_of(directives: Directives, name: str) -> int | None:
    """Return the time that a directive names, or None where it is not there."""
    argument = directives.get(name)
    return None if argument is None else seconds(argument)


@lru_cache(maxsize=512)
def parse_date(value: bytes) -> int | None:
    """Return a date in any of the three forms (RFC 9110, section 5.6.7) as Unix time, or None for what is none."""
    try:
        parts = parsedate_tz(value.decode("latin-1"))
        return None if parts is None else timegm(parts[:6]) - (parts[9] or 0)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
