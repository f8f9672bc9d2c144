"""The requests' fields that an answer depends on (RFC 9111, section 4.1); keeping the variants goes elsewhere."""

from __future__ import annotations

from functools import lru_cache

from meshwright_sdk.headers import RawHeaders

MOST_NAMES = 16
"""An answer that depends on more fields is not stored."""


@lru_cache(maxsize=512)
def names_in(vary: bytes) -> tuple[bytes, ...]:
    """Return the names in a Vary field, in order of the alphabet."""
    return tuple(sorted({name for each in vary.lower().split(b",") if (name := each.strip(b" \t"))}))


def values_of(names: tuple[bytes, ...], raw: RawHeaders) -> bytes:
    """Return what a request has in these fields, so that equal means the same answer will do.

    White space around commas does not count, nor does whether a list is in one field or several; a field that is not
    there is not an empty one.
    """
    parts = []
    for name in names:
        members = [part.strip(b" \t") for field, value in raw if field == name for part in value.split(b",")]
        parts.append(b"+" + b",".join(members) if members else b"-")
    return b"\n".join(parts)
