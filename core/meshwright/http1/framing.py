"""Where a message's content ends: one reader for each way to tell (RFC 9112, section 6); no I/O goes in here."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

from meshwright.http1.grammar import GrammarError, read_fields, refuse_misplaced
from meshwright_sdk.headers import RawHeaders
from meshwright_sdk.tokens import TOKEN_BYTES

MAX_CHUNK_LINE_BYTES = 1024
"""Of a chunk's size and its extensions, which nobody uses."""

CHUNKS_AT_ONCE = 512
"""Chunks that are read in one go: 0.5 ms. One read of a socket may hold 40,000, for which nobody else has to wait."""

MAX_TRAILER_BYTES = 8 * 1024
MAX_TRAILERS = 64

_USUAL_SIZE_BYTES = 8
_NEVER_AFTER_CONTENT = frozenset((b"content-length", b"transfer-encoding", b"host"))
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_EXTENDED = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)+"
    % (TOKEN_BYTES.pattern, TOKEN_BYTES.pattern, _QUOTED)
)


class ContentReader(Protocol):
    """Takes the bytes after a head and tells content from what comes after it.

    `complete`: the end of the message was read. `trailers` are the fields after a chunked content. `behind`: it has
    more than it reads in one go, and is to be fed in the next turn of the event loop, be it with nothing.
    """

    complete: bool
    trailers: RawHeaders

    @property
    def behind(self) -> bool: ...

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the content in `data`, and what is left after the message's end. Raises GrammarError."""


class CountedReader:
    """Content of a known length, in bytes."""

    __slots__ = ("_left", "complete", "trailers")
    behind = False

    def __init__(self, length: int) -> None:
        self._left = length
        self.complete = length == 0
        self.trailers: RawHeaders = []

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        left = self._left
        size = len(data)
        if size < left:
            self._left = left - size
            return data, b""
        self._left = 0
        self.complete = True
        return (data, b"") if size == left else (data[:left], data[left:])


class UnboundedReader:
    """Content up to the end of the connection, which only a response may have."""

    __slots__ = ("complete", "trailers")
    behind = False

    def __init__(self) -> None:
        self.complete = False
        self.trailers: RawHeaders = []

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        return data, b""


class ChunkedReader:
    """Content in chunks, and the fields after it (RFC 9112, section 7.1). Extensions are read and dropped."""

    __slots__ = ("_ending", "_left", "_rest", "behind", "complete", "trailers")

    def __init__(self) -> None:
        self._rest = b""
        self._left = 0
        self._ending = False
        self.behind = False
        self.complete = False
        self.trailers: RawHeaders = []

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        if self._rest:
            data = self._rest + data
            self._rest = b""
            self.behind = False
        elif not self._left and not self._ending:
            # Nearly always one whole chunk comes at a time, as its sender wrote it: an event of a stream.
            begin = data.find(b"\r\n", 0, _USUAL_SIZE_BYTES) + 2
            if begin > 1 and data[-2:] == b"\r\n":
                size = _known_size(data[: begin - 2])
                if size and begin + size + 2 == len(data):
                    return data[begin:-2], b""
        pieces: list[bytes] = []
        position = 0 if self._ending else self._read_chunks(data, pieces)
        rest = self._read_trailers(data[position:]) if self._ending else b""
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), rest

    def _read_chunks(self, data: bytes, pieces: list[bytes]) -> int:
        """Collect the content in `data`; return where the trailers begin, or its end when they are not reached.

        `_left` counts the content of the present chunk and the CR LF after it.
        """
        position, size, more = 0, len(data), CHUNKS_AT_ONCE
        while position < size:
            if self._left > 2:
                end = min(position + self._left - 2, size)
                pieces.append(data[position:end])
                self._left -= end - position
                position = end
            elif self._left:
                ending = data[position : position + 2]
                if not b"\r\n".startswith(ending):
                    raise GrammarError("chunk: expected CR LF where its size says that it ends")
                if len(ending) < 2:
                    self._rest = ending
                    break
                self._left = 0
                position += 2
            elif not more:
                self._rest = data[position:]
                self.behind = True
                break
            else:
                more -= 1
                end = data.find(b"\r\n", position, position + MAX_CHUNK_LINE_BYTES)
                if end < 0:
                    self._wait_for_line(data[position:])
                    break
                line = data[position:end]
                length = _known_size(line) if len(line) <= _USUAL_SIZE_BYTES else _chunk_size(line)
                position = end + 2
                if not length:
                    self._ending = True
                    return position
                end = position + length
                if data[end : end + 2] == b"\r\n":
                    pieces.append(data[position:end])
                    position = end + 2
                else:
                    self._left = length + 2
        return size

    def _wait_for_line(self, begun: bytes) -> None:
        if len(begun) >= MAX_CHUNK_LINE_BYTES:
            raise GrammarError(f"chunk: expected its size within {MAX_CHUNK_LINE_BYTES} bytes")
        refuse_misplaced(begun)
        self._rest = begun

    def _read_trailers(self, data: bytes) -> bytes:
        """Read the fields up to the empty line; return what follows it."""
        if data.startswith(b"\r\n"):
            self.complete = True
            return data[2:]
        end = data.find(b"\r\n\r\n")
        section = data[:end] if end >= 0 else data.rstrip(b"\r\n")  # which may be of the end: that is not counted
        if len(section) > MAX_TRAILER_BYTES or section.count(b"\n") >= MAX_TRAILERS:
            raise GrammarError(f"trailers: expected at most {MAX_TRAILERS}, of {MAX_TRAILER_BYTES} bytes in all")
        if end < 0:
            refuse_misplaced(data)
            self._rest = data
            return b""
        self.trailers = read_fields(section.split(b"\r\n"))
        if any(name in _NEVER_AFTER_CONTENT for name, _ in self.trailers):
            raise GrammarError("trailers: expected none about framing or host (RFC 9110, section 6.5.1)")
        self.complete = True
        return data[end + 4 :]


def _chunk_size(line: bytes) -> int:
    match = _SIZE.fullmatch(line)
    if match is not None:
        return int(line, 16)
    match = _EXTENDED.fullmatch(line)
    if match is None:
        raise GrammarError(f"chunk: expected its size in hexadecimal digits; got {line[:40]!r}")
    return int(match.group(1), 16)


_known_size = lru_cache(maxsize=1024)(_chunk_size)
"""The sizes of the shortest lines, which come again."""
