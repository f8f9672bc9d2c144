"""`StrictReader`: what a sender wrote, read so strictly that two ways to read it are an error."""

from __future__ import annotations

import re

from tests.core.http1.corpus.case import Seen

_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [!-~]+ HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)")
_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")
_NOT_IN_TRAILERS = frozenset((b"content-length", b"transfer-encoding", b"host", b"connection", b"trailer", b"expect"))

Fields = list[tuple[bytes, bytes]]


class StrictReader:
    """Requests of one connection: feed bytes, take what is complete. Raises ValueError for whatever is odd."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.fields: list[Fields] = []
        self.rest = b""

    def feed(self, data: bytes) -> None:
        self.rest += data
        while (end := self._read_one()) is not None:
            self.rest = self.rest[end:]

    def _read_one(self) -> int | None:
        """Return where the first request ends, having kept it; None while it is not complete."""
        end = self.rest.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self.rest[:end].split(b"\r\n")
        if _LINE.fullmatch(first) is None:
            raise ValueError(f"request line: expected one of HTTP/1.1; got {first!r}")
        fields = [_field(line) for line in lines]
        read = self._content(fields, end + 4)
        if read is None:
            return None
        body, end = read
        method, target, _ = first.decode("ascii").split(" ")
        self.requests.append(Seen(method, target, body, _one(fields, b"host", "").decode("latin-1")))
        self.fields.append(fields)
        return end

    def _content(self, fields: Fields, start: int) -> tuple[bytes, int] | None:
        names = [name for name, _ in fields]
        if b"transfer-encoding" in names:
            if b"content-length" in names or _one(fields, b"transfer-encoding", "") != b"chunked":
                raise ValueError(f"framing: expected chunked alone; got {fields}")
            return self._chunks(start)
        size = int(_one(fields, b"content-length", "0"))
        if len(self.rest) < start + size:
            return None
        return self.rest[start : start + size], start + size

    def _chunks(self, start: int) -> tuple[bytes, int] | None:
        body = b""
        while (end := self.rest.find(b"\r\n", start)) >= 0:
            line = self.rest[start:end]
            if _SIZE.fullmatch(line) is None:
                raise ValueError(f"chunk: expected its size alone; got {line!r}")
            start, size = end + 2, int(line, 16)
            if not size:
                return self._trailers(body, start)
            if len(self.rest) < start + size + 2:
                return None
            if self.rest[start + size : start + size + 2] != b"\r\n":
                raise ValueError("chunk: expected a line end after its content")
            body += self.rest[start : start + size]
            start += size + 2
        return None

    def _trailers(self, body: bytes, start: int) -> tuple[bytes, int] | None:
        while (end := self.rest.find(b"\r\n", start)) >= 0:
            if end == start:
                return body, end + 2
            name, _ = _field(self.rest[start:end])
            if name in _NOT_IN_TRAILERS:
                raise ValueError(f"trailer: expected none that frames or routes; got {name!r}")
            start = end + 2
        return None


def _field(line: bytes) -> tuple[bytes, bytes]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise ValueError(f"field: expected a name and a value; got {line!r}")
    return match.group(1).lower(), match.group(2)


def _one(fields: Fields, name: bytes, default: str) -> bytes:
    values = [value for each, value in fields if each == name]
    if len(values) > 1:
        raise ValueError(f"{name!r}: expected one field; got {values}")
    return values[0] if values else default.encode("ascii")
