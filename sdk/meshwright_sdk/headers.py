"""`Headers`: header fields as byte pairs with a case-insensitive text view; no knowledge of any single field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from functools import lru_cache

from meshwright_sdk.tokens import TOKEN

RawHeaders = list[tuple[bytes, bytes]]

CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""Finds a byte that no field value may hold (RFC 9110, section 5.5)."""


@lru_cache(maxsize=1024)
def encode_name(name: str) -> bytes:
    """Return `name` as lower-case bytes.

    Raises ValueError when it is not a token (RFC 9110, section 5.1).
    """
    if TOKEN.fullmatch(name) is None:
        raise ValueError(f"header name: expected a token (RFC 9110, section 5.1); got {name!r}")
    return name.lower().encode("ascii")


def encode_value(value: str) -> bytes:
    """Return `value` as bytes, stripped of outer white space.

    Raises ValueError on control bytes, so that no value can start a new header (RFC 9110, section 5.5),
    and on characters above U+00FF.
    """
    if value.isascii() and value.isprintable():
        return value.encode("ascii").strip(b" ")
    try:
        raw = value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"header value: expected characters up to U+00FF; got {value!r}") from None
    if CONTROLS.search(raw) is not None:
        raise ValueError(f"header value: expected no control characters; got {value!r}")
    return raw.strip(b" \t")


class Headers(MutableMapping[str, str]):
    """Header fields in order, duplicates kept; names compare without case.

    `raw` is the list itself: (lower-case name, value) byte pairs. Reading it costs nothing; whoever
    writes to it promises lower-case names and clean values. The text view decodes as latin-1 on demand.
    """

    __slots__ = ("raw",)

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] | None = None) -> None:
        self.raw: RawHeaders = []
        if fields is not None:
            pairs = fields.items() if isinstance(fields, Mapping) else fields
            self.raw = [(encode_name(name), encode_value(value)) for name, value in pairs]

    @classmethod
    def from_raw(cls, raw: RawHeaders) -> Headers:
        """Wrap `raw` without copying or checking it; names must be lower-case."""
        headers = cls.__new__(cls)
        headers.raw = raw
        return headers

    def __getitem__(self, name: str) -> str:
        """Return the first value of `name`; raises KeyError."""
        key = encode_name(name)
        for field, value in self.raw:
            if field == key:
                return value.decode("latin-1")
        raise KeyError(name)

    def __setitem__(self, name: str, value: str) -> None:
        """Replace every field of that name by one, in the first one's place."""
        self.set_bytes(encode_name(name), encode_value(value))

    def __delitem__(self, name: str) -> None:
        """Remove every field of that name; raises KeyError when there is none."""
        if not self.remove(encode_name(name)):
            raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get_bytes(encode_name(name)) is not None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the distinct names, in order of first appearance."""
        return iter(dict.fromkeys(self._names()))

    def __len__(self) -> int:
        return len(set(self._names()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.raw == other.raw

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({self.multi_items()!r})"

    def _names(self) -> Iterator[str]:
        return (name.decode("latin-1") for name, _ in self.raw)

    def getlist(self, name: str) -> list[str]:
        """Return every value of `name`, in order."""
        key = encode_name(name)
        return [value.decode("latin-1") for field, value in self.raw if field == key]

    def multi_items(self) -> list[tuple[str, str]]:
        """Return every field, duplicates included, in order."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw]

    def add(self, name: str, value: str) -> None:
        """Append a field and keep those of the same name."""
        self.raw.append((encode_name(name), encode_value(value)))

    def copy(self) -> Headers:
        """Return an independent copy; the byte pairs are shared."""
        return Headers.from_raw(self.raw.copy())

    def get_bytes(self, name: bytes) -> bytes | None:
        """Return the first value of the lower-case `name`, or None."""
        for field, value in self.raw:
            if field == name:
                return value
        return None

    def set_bytes(self, name: bytes, value: bytes) -> None:
        """Replace every field of the lower-case `name` by one; nothing is checked."""
        raw = self.raw
        for field in raw:
            if field[0] == name:
                break
        else:
            raw.append((name, value))
            return
        index = raw.index(field)
        raw[index] = (name, value)
        raw[index + 1 :] = [pair for pair in raw[index + 1 :] if pair[0] != name]

    def remove(self, *names: bytes) -> bool:
        """Remove every field of the lower-case `names`; return whether there was one."""
        kept = [pair for pair in self.raw if pair[0] not in names]
        removed = len(kept) != len(self.raw)
        self.raw[:] = kept
        return removed
