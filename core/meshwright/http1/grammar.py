"""The grammar of heads: request line, status line and field lines, as functions over bytes; no meaning, no I/O.

Everything is strict (RFC 9112, sections 2 to 5): what two recipients could read in two ways is not read at all.
Lines that come again and again, such as `accept: */*`, are remembered with what they were found to say.
"""

from __future__ import annotations

import re
from functools import lru_cache

from meshwright_sdk.headers import CONTROLS, RawHeaders
from meshwright_sdk.tokens import TOKEN_BYTES

HEAD_END = b"\r\n\r\n"
_METHOD = re.compile(rb"[A-Z]+(?:[-_][A-Z]+)*")
_TARGET = re.compile(rb"[!-~]+")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [\t -~\x80-\xff]*)?")
_VERSION = re.compile(rb"HTTP/([0-9]\.[0-9])")
_BLANK_LINES = re.compile(rb"(?:\r\n)*+")
_NEVER_IN_HEADS = bytes((*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F))

MAX_METHOD_BYTES = 48
"""Of a method that is not one of the usual; no registered one is longer than 17."""

_REMEMBERED_BYTES = 128
"""Longer lines are read each time: what is remembered of strangers must not add up."""

METHODS = {
    name.encode("ascii"): name
    for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "REPORT", "QUERY")
}
"""The usual methods, as bytes and as text."""

_VERSIONS = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}


class GrammarError(ValueError):
    """The bytes are not what the grammar asks for."""


class VersionError(GrammarError):
    """The message is of a version that is not spoken here."""


def read_request_line(line: bytes) -> tuple[str, bytes, str]:
    """Return method, target and version, which is 1.1 or 1.0 (RFC 9112, section 3). Raises GrammarError."""
    return _known_request_line(line) if len(line) <= _REMEMBERED_BYTES else _read_request_line(line)


def _read_request_line(line: bytes) -> tuple[str, bytes, str]:
    try:
        method, target, version = line.split(b" ")
    except ValueError:
        raise GrammarError(f"request line: expected METHOD TARGET HTTP/1.1; got {line[:80]!r}") from None
    if version not in _VERSIONS:
        raise _bad_version(version)
    if _TARGET.fullmatch(target) is None:
        raise GrammarError(f"target: expected printable ASCII; got {target[:80]!r}")
    return METHODS.get(method) or _read_method(method), target, _VERSIONS[version]


_known_request_line = lru_cache(maxsize=4096)(_read_request_line)


def _read_method(method: bytes) -> str:
    """Return a method that is not one of the usual: other tokens than capitals are not taken by every server."""
    if len(method) > MAX_METHOD_BYTES or _METHOD.fullmatch(method) is None:
        raise GrammarError(f"method: expected a word in capitals (RFC 9110, section 9.1); got {method[:40]!r}")
    return method.decode("ascii")


def _bad_version(version: bytes) -> GrammarError:
    match = _VERSION.fullmatch(version)
    if match is None:
        return GrammarError(f"version: expected HTTP/1.1 or HTTP/1.0; got {version[:20]!r}")
    return VersionError(f"version: expected HTTP/1.1 or HTTP/1.0; got HTTP/{match.group(1).decode('ascii')}")


@lru_cache(maxsize=256)
def read_status_line(line: bytes) -> tuple[str, int]:
    """Return version and status code (RFC 9112, section 4); the reason phrase says nothing. Raises GrammarError."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise GrammarError(f"status line: expected HTTP/1.1 and a status code; got {line[:40]!r}")
    return f"1.{match.group(1).decode('ascii')}", int(match.group(2))


def read_fields(lines: list[bytes]) -> RawHeaders:
    """Return names, in lower case, and values of field lines (RFC 9112, section 5). Raises GrammarError."""
    return [_known_field(line) if len(line) <= _REMEMBERED_BYTES else _read_field(line) for line in lines]


def _read_field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or TOKEN_BYTES.fullmatch(name) is None:
        raise GrammarError(f"header: expected a name and, right after it, a colon; got {line[:80]!r}")
    if CONTROLS.search(value) is not None:
        raise GrammarError(f"header: expected a value without control characters; got {line[:80]!r}")
    return name.lower(), value.strip(b" \t")


_known_field = lru_cache(maxsize=4096)(_read_field)


def after_blank_lines(data: bytes) -> bytes:
    """Return what follows empty lines before a request line, which are passed over (RFC 9112, section 2.2)."""
    return data[_BLANK_LINES.match(data).end() :]  # type: ignore[union-attr]  # it matches nothing, too


def refuse_misplaced(begun: bytes) -> None:
    """Raise GrammarError for what no head can hold, so that its end need not be waited for.

    It only counts, for a client that sends byte by byte has it called for each.
    """
    lines = begun.count(b"\r\n")
    if begun.count(b"\n") != lines or begun.count(b"\r") - begun.endswith(b"\r") != lines:
        raise GrammarError("head: expected lines that end in CR LF; got CR or LF alone")
    if len(begun.translate(None, _NEVER_IN_HEADS)) != len(begun):
        raise GrammarError("head: expected no control characters; got some")
