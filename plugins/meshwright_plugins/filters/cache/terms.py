"""`Terms`: how long a response may be used again, and by whom (RFC 9111, sections 3 and 4); it is kept elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import floor
from typing import NamedTuple

from meshwright_plugins.filters.cache.directives import parse, parse_date, seconds, seconds_of
from meshwright_sdk.headers import RawHeaders

UNDERSTOOD = frozenset((200, 203, 204, 300, 301, 302, 307, 308, 404, 405, 410, 414, 451, 501))
"""Statuses whose answers may be stored when they say how long they are fresh."""
WITHOUT_A_WORD = frozenset((200, 203, 204, 300, 301, 308))
"""Those that may be stored by a rule of the operator's when the answer says nothing."""

HEURISTIC_SHARE = 0.1
HEURISTIC_MOST_S = 86_400

_NOTICED = frozenset(
    (
        b"age",
        b"cache-control",
        b"content-type",
        b"date",
        b"etag",
        b"expires",
        b"last-modified",
        b"set-cookie",
        b"x-degraded",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds for responses that say nothing of it; times in seconds."""

    lifetime_s: float = 0.0
    heuristic: bool = False
    stale_while_s: float = 0.0
    stale_if_error_s: float = 0.0


class Terms(NamedTuple):
    """What a response allows, times in seconds.

    `age_s` is its age when it came. `lifetime_s` is None where nobody said how long it is fresh. `validated` ones are
    asked about before each use; `strict` ones are not given stale because a client would take them. `for_all` ones may
    be given to requests with Authorization.
    """

    age_s: float
    lifetime_s: float | None
    stale_while_s: float
    stale_if_error_s: float
    validated: bool
    strict: bool
    for_all: bool


def fields_of(raw: RawHeaders) -> dict[bytes, bytes]:
    """Return the fields that decide about storing; those that are there more than once are joined by commas.

    Of Age and Expires, which are no lists, the first counts (RFC 9111, sections 4.2.1 and 5.1).
    """
    found: dict[bytes, bytes] = {}
    for name, value in raw:
        if name in _NOTICED:
            before = found.get(name)
            if before is None:
                found[name] = value
            elif name not in (b"age", b"expires", b"date"):
                found[name] = before + b", " + value
    return found


class Control(NamedTuple):
    """What Cache-Control of a response comes to, times in seconds; None where it does not say."""

    lifetime_s: int | None
    stale_while_s: int | None
    stale_if_error_s: int | None
    validated: bool
    strict: bool
    implied: bool
    for_all: bool
    forbids: str | None
    """Why the response may not be stored by anybody who serves several clients."""


@lru_cache(maxsize=512)
def control_of(value: bytes) -> Control:
    """Return what a Cache-Control field says; looked up for values that come again and again."""
    directives = parse(value)
    said = directives.keys()
    strict = not said.isdisjoint(("must-revalidate", "proxy-revalidate", "no-cache"))
    lifetime_s = seconds_of(directives, "s-maxage")
    forbids = None
    if "no-store" in said and "must-understand" not in said:
        forbids = "no-store"
    elif "private" in said:
        forbids = "private"
    return Control(
        lifetime_s=lifetime_s if lifetime_s is not None else seconds_of(directives, "max-age"),
        stale_while_s=0 if strict else seconds_of(directives, "stale-while-revalidate"),
        stale_if_error_s=0 if strict else seconds_of(directives, "stale-if-error"),
        validated="no-cache" in said,
        strict=strict,
        implied=strict or "s-maxage" in said,
        for_all=not said.isdisjoint(("public", "s-maxage", "must-revalidate")),
        forbids=forbids,
    )


def terms_of(
    status: int, fields: Mapping[bytes, bytes], *, delay_s: float, received_at: float, defaults: Defaults
) -> Terms:
    """Return the terms of a response that came at `received_at` (Unix time), `delay_s` after it was asked for."""
    control = control_of(fields.get(b"cache-control", b""))
    date = parse_date(fields[b"date"]) if b"date" in fields else None
    while_s: float | None = control.stale_while_s
    if while_s is None:
        while_s = 0 if control.implied else defaults.stale_while_s
    error_s: float | None = control.stale_if_error_s
    if error_s is None:
        error_s = 0 if control.implied else defaults.stale_if_error_s
    lifetime_s: float | None = control.lifetime_s
    if lifetime_s is None:
        said_at = date if date is not None else floor(received_at)
        lifetime_s = _lifetime(status, control, fields, said_at, defaults)
    return Terms(
        initial_age(fields.get(b"age", b""), date, delay_s=delay_s, received_at=received_at),
        lifetime_s,
        while_s,
        error_s,
        control.validated,
        control.implied,
        control.for_all,
    )


def initial_age(age: bytes, date: int | None, *, delay_s: float, received_at: float) -> float:
    """Return the corrected initial age (RFC 9111, section 4.2.3); as Date has whole seconds, they are compared."""
    apparent = 0 if date is None else max(0, floor(received_at) - date)
    return max(apparent, seconds(age.strip(b" \t").decode("latin-1")) + delay_s)


def _lifetime(
    status: int, control: Control, fields: Mapping[bytes, bytes], date: int, defaults: Defaults
) -> float | None:
    """Return how long it is fresh that has no max-age (RFC 9111, section 4.2.1), or None where nobody says."""
    if b"expires" in fields:
        expires = parse_date(fields[b"expires"])
        return 0 if expires is None else max(0, expires - date)
    if control.validated:
        return 0
    return _unsaid(fields, date, defaults) if status in WITHOUT_A_WORD else None


def _unsaid(fields: Mapping[bytes, bytes], date: int, defaults: Defaults) -> float | None:
    """Return how long a response is fresh that does not say so itself (RFC 9111, section 4.2.2)."""
    if defaults.lifetime_s > 0:
        return defaults.lifetime_s
    modified = parse_date(fields[b"last-modified"]) if defaults.heuristic and b"last-modified" in fields else None
    if modified is None or modified >= date:
        return None
    return min(HEURISTIC_SHARE * (date - modified), HEURISTIC_MOST_S)


def refusal(status: int, fields: Mapping[bytes, bytes], *, authorized: bool, cookies: bool) -> str | None:
    """Return why a response to a GET may not be stored, in a word or two, or None when it may (RFC 9111, section 3).

    `authorized` is whether the request had Authorization, `cookies` whether what sets cookies may be stored too.
    """
    control = control_of(fields.get(b"cache-control", b""))
    if status not in UNDERSTOOD:
        return "status"
    if control.forbids is not None:
        return control.forbids
    if authorized and not control.for_all:
        return "authorization"
    if b"set-cookie" in fields and not cookies:
        return "set-cookie"
    if b"x-degraded" in fields:
        return "degraded"
    if fields.get(b"content-type", b"").lower().startswith(b"text/event-stream"):
        return "event stream"
    return None


def is_useful(fields: Mapping[bytes, bytes], terms: Terms) -> bool:
    """Return whether anything would come of storing it: it is fresh for a while, or can be asked about."""
    if terms.lifetime_s is None:
        return False
    may_be_asked = b"etag" in fields or b"last-modified" in fields
    if may_be_asked:
        return True
    return not terms.validated and terms.lifetime_s - terms.age_s + max(terms.stale_while_s, terms.stale_if_error_s) > 0
