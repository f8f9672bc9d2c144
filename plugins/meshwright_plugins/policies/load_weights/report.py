"""Reading load reports of the ORCA standard in its three notations; what follows from one goes elsewhere.

The notations are those of the Open Request Cost Aggregation specification, and the fields those of
`xds.data.orca.v3.OrcaLoadReport`.
"""

from __future__ import annotations

import binascii
import json
import re
import struct
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

MAX_BYTES = 8192
"""Nothing longer is read."""

Report = Mapping[str, float]
"""The values of a report by name; what is in one of its maps has the map's name in front: `named_metrics.gpu`."""

_NUMBERS = {1: "cpu_utilization", 2: "mem_utilization", 3: "rps", 6: "rps_fractional", 7: "eps"} | {
    9: "application_utilization"
}
_MAPS = {4: "request_cost", 5: "utilization", 8: "named_metrics"}
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_LONGEST_VARINT = 10


def read_header(value: bytes) -> Report:
    """Read `endpoint-load-metrics`: `TEXT a=1, b=2`, `JSON {…}` or `BIN base64`; raises ValueError."""
    _refuse_long(value)
    notation, _, content = value.partition(b" ")
    if notation == b"TEXT":
        return read_text(content)
    if notation == b"JSON":
        return read_json(content)
    if notation == b"BIN":
        return read_base64(content)
    raise ValueError(f"expected a report that begins with TEXT, JSON or BIN; got {value!r:.60}")


def read_text(content: bytes) -> Report:
    """Read `cpu_utilization=0.3, named_metrics.gpu=0.5`; raises ValueError."""
    pairs = (re.split("[=:]", member, maxsplit=1) for member in content.decode("latin-1").split(",") if member.strip())
    return {pair[0].strip(): _number(pair[-1].strip()) for pair in pairs}


def read_json(content: bytes) -> Report:
    """Read the report as JSON, with names as in the protobuf or in camelCase; raises ValueError."""
    _refuse_long(content)
    try:
        members = json.loads(content)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise ValueError(f"expected a report as a JSON object; got {content!r:.60}")
    return dict(_flat(members))


def _flat(members: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in members.items():
        plain = re.sub("[A-Z]", lambda upper: f"_{upper[0].lower()}", name)
        if isinstance(value, dict):
            yield from ((f"{plain}.{key}", _number(inner)) for key, inner in value.items())
        else:
            yield plain, _number(value)


def read_base64(content: bytes) -> Report:
    """Read the report as protobuf in base64, which may lack its padding; raises ValueError."""
    _refuse_long(content)
    stripped = content.strip().rstrip(b"=")
    try:
        message = binascii.a2b_base64(stripped + b"=" * (-len(stripped) % 4), strict_mode=True)
    except ValueError as error:
        raise ValueError(f"expected a report in base64; got {content!r:.60}") from error
    report: dict[str, float] = {}
    for number, value in _fields(message):
        if number in _NUMBERS and not isinstance(value, bytes):
            report[_NUMBERS[number]] = _number(value)
        elif number in _MAPS and isinstance(value, bytes):
            entry = dict(_fields(value))
            key = entry.get(1, b"")
            name = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
            report[f"{_MAPS[number]}.{name}"] = _number(entry.get(2, 0.0))
    return report


def _fields(message: bytes) -> Iterator[tuple[int, float | bytes]]:
    """Yield the fields of a protobuf message by number: varints and doubles as numbers, the others as bytes."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(message, place)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"expected a report in protobuf; got a field of kind {kind}")
        content, place = message[place : place + length], place + length
        if len(content) < length:
            raise ValueError("expected a whole report in protobuf; got a part of one")
        yield number, struct.unpack("<d", content)[0] if kind == _EIGHT_BYTES else content


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = 0
    for position, byte in enumerate(message[place : place + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return value, place + position + 1
    raise ValueError("expected a whole report in protobuf; got a part of one")


def _number(value: object) -> float:
    """Return a number of a report, which may be written as a text; raises ValueError for any that means nothing."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        number = -1.0
    if not isfinite(number) or number < 0:
        raise ValueError(f"expected numbers of 0 or more in a report; got {value!r:.60}")
    return number


def _refuse_long(content: bytes) -> None:
    if len(content) > MAX_BYTES:
        raise ValueError(f"expected a report of {MAX_BYTES} bytes at most; got {len(content)}")
