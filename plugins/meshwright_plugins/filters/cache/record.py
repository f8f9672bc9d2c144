"""Stored answers as bytes, for a store that gateways share; when they are written and read goes elsewhere."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from meshwright_plugins.filters.cache.answer import Answer
from meshwright_plugins.filters.cache.terms import Terms

_ANSWER, _VARYING = b"A", b"V"
_LENGTH_BYTES = 4


class Varying(NamedTuple):
    """What stands in place of an answer where there are variants: the fields they depend on, and which they are.

    `generation` is part of the variants' keys, so that a new one leaves all of the old behind; `ends` is Unix time.
    """

    names: tuple[bytes, ...]
    generation: str
    ends: float


def write(content: Answer | Varying) -> bytes:
    if isinstance(content, Varying):
        names = [name.decode("latin-1") for name in content.names]
        return _VARYING + json.dumps([names, content.generation, content.ends]).encode()
    head = json.dumps(
        {
            "status": content.status,
            "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in content.fields],
            "terms": content.terms,
            "kept_at": content.kept_at,
            "names": [name.decode("latin-1") for name in content.names],
            "values": content.values.decode("latin-1"),
        }
    ).encode()
    return b"".join((_ANSWER, len(head).to_bytes(_LENGTH_BYTES, "big"), head, content.data))


def read(record: bytes) -> Answer | Varying | None:
    """Return what was written, or None for what this version cannot read."""
    try:
        if record[:1] == _VARYING:
            names, generation, ends = json.loads(record[1:])
            return Varying(tuple(name.encode("latin-1") for name in names), generation, ends)
        if record[:1] != _ANSWER:
            return None
        start = 1 + _LENGTH_BYTES
        end = start + int.from_bytes(record[1:start], "big")
        return _answer(json.loads(record[start:end]), record[end:])
    except (ValueError, TypeError, KeyError):
        return None


def _answer(head: dict[str, Any], data: bytes) -> Answer:
    return Answer(
        head["status"],
        [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head["fields"]],
        data,
        Terms(*head["terms"]),
        kept_at=head["kept_at"],
        names=tuple(name.encode("latin-1") for name in head["names"]),
        values=head["values"].encode("latin-1"),
    )
