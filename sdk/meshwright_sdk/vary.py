"""What an answer depends on by its `Vary` (RFC 9110, section 12.5.5); keeping answers goes elsewhere."""

from __future__ import annotations

from functools import lru_cache

from meshwright_sdk.headers import RawHeaders

MOST_NAMES = 16
"""An answer that depends on more fields is taken for one that depends on anything."""

_QUOTE = ord('"')


def varies_with(raw: RawHeaders) -> tuple[bytes, ...] | None:
    """Return the request's fields that an answer with these fields depends on, in order of the alphabet.

    None is for an answer that is to be given to no other request: one with `*`, or with more than MOST_NAMES names.
    """
    values = [value for name, value in raw if name == b"vary"]
    return _names_in(b",".join(values)) if values else ()


def variant_of(names: tuple[bytes, ...], raw: RawHeaders) -> bytes:
    """Return what a request has in these fields, so that equal means the same answer will do (RFC 9111, section 4.1).

    White space around commas does not count, unless something is in quotes, nor does whether a list is in one field or
    several; a field that is not there is not an empty one.
    """
    parts = []
    for name in names:
        members = [
            member.strip(b" \t")
            for field, value in raw
            if field == name
            for member in (value.split(b",") if _QUOTE not in value else (value,))
        ]
        parts.append(b"+" + b",".join(members) if members else b"-")
    return b"\n".join(parts)


@lru_cache(maxsize=512)
def _names_in(vary: bytes) -> tuple[bytes, ...] | None:
    names = {name for each in vary.lower().split(b",") if (name := each.strip(b" \t"))}
    return None if b"*" in names or len(names) > MOST_NAMES else tuple(sorted(names))
