"""Responses as upstreams send them: what a client has to see of each."""

from __future__ import annotations

from dataclasses import dataclass

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"
EVIL = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
"""Sent behind some answers: it must never become anybody's answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upstream sends to one request, and what its client sees: a status and content, or a failure.

    `fails` is 502, or a body that breaks off; `free` leaves the choice. `method` is the request's. A connection that
    is not `kept` must not carry a second request; None leaves it open. With `ends` the upstream closes after it.
    """

    sent: bytes
    status: int = 200
    body: bytes = b"abc"
    fails: bool = False
    free: bool = False
    kept: bool | None = True
    ends: bool = False
    method: bytes = b"GET"


def good(sent: bytes, **more: object) -> Answer:
    return Answer(sent, **more)  # type: ignore[arg-type]


def bad(sent: bytes, **more: object) -> Answer:
    return Answer(sent, fails=True, kept=False, **more)  # type: ignore[arg-type]


def either(sent: bytes, **more: object) -> Answer:
    return Answer(sent, free=True, **more)  # type: ignore[arg-type]


def start(line: bytes) -> bytes:
    return line + b"\r\ncontent-length: 3\r\n\r\nabc"


def length(value: bytes) -> bytes:
    return OK + b"content-length:" + value + b"\r\n\r\nabc"


def coding(value: bytes) -> bytes:
    return OK + b"transfer-encoding:" + value + b"\r\n\r\n" + CHUNKS


def field(data: bytes) -> bytes:
    return OK + b"content-length: 3\r\n" + data + b"\r\n\r\nabc"


def chunk(line: bytes) -> bytes:
    return CHUNKED + line + b"\r\nabc\r\n0\r\n\r\n"


STATUS_LINES = {
    "no phrase": good(start(b"HTTP/1.1 200 ")),
    "no phrase and no space": either(start(b"HTTP/1.1 200")),
    "phrase with a tab and bytes above 127": good(start(b"HTTP/1.1 200 a\tb \xc3\xbc")),
    "HTTP/1.0": good(start(b"HTTP/1.0 200 OK"), kept=False),
    "status beyond 599": good(start(b"HTTP/1.1 700 Odd"), status=700),
    "two spaces": bad(start(b"HTTP/1.1  200 OK")),
    "tab": bad(start(b"HTTP/1.1\t200 OK")),
    "space in front": bad(start(b" HTTP/1.1 200 OK")),
    "four digits": bad(start(b"HTTP/1.1 2000 OK")),
    "two digits": bad(start(b"HTTP/1.1 20 OK")),
    "sign": bad(start(b"HTTP/1.1 +200 OK")),
    "letters": bad(start(b"HTTP/1.1 2xx OK")),
    "no status": bad(start(b"HTTP/1.1 OK")),
    "below 100": bad(start(b"HTTP/1.1 099 OK")),
    "text behind the status": bad(start(b"HTTP/1.1 200OK")),
    "small letters": bad(start(b"http/1.1 200 OK")),
    "HTTP/1.2": bad(start(b"HTTP/1.2 200 OK")),
    "HTTP/2.0": bad(start(b"HTTP/2.0 200 OK")),
    "HTTP/0.9": bad(start(b"HTTP/0.9 200 OK")),
    "HTTP/1.10": bad(start(b"HTTP/1.10 200 OK")),
    "ICY": bad(start(b"ICY 200 OK")),
    "RTSP": bad(start(b"RTSP/1.0 200 OK")),
    "nothing but content": bad(b"<html></html>", ends=True),
    "nul in the phrase": bad(start(b"HTTP/1.1 200 O\0K")),
    "control in the phrase": bad(start(b"HTTP/1.1 200 O\x01K")),
    "carriage return in the phrase": bad(start(b"HTTP/1.1 200 O\rK")),
    "line feed at the end": bad(b"HTTP/1.1 200 OK\ncontent-length: 3\r\n\r\nabc"),
    "carriage return at the end": bad(b"HTTP/1.1 200 OK\rcontent-length: 3\r\n\r\nabc"),
    "blank line before": either(b"\r\n" + start(OK[:-2])),
    "line feed before": bad(b"\n" + start(OK[:-2])),
}

FIELDS = {
    "folded": bad(field(b"x: a\r\n b")),
    "folded by a tab": bad(field(b"x: a\r\n\tb")),
    "folded in front": bad(OK + b" x: a\r\ncontent-length: 3\r\n\r\nabc"),
    "line feed": bad(field(b"x: a\ny: b")),
    "carriage return": bad(field(b"x: a\ry: b")),
    "carriage return at the end": bad(field(b"x: a\r")),
    "nul": bad(field(b"x: a\0b")),
    "control": bad(field(b"x: a\x01b")),
    "delete": bad(field(b"x: a\x7fb")),
    "vertical tab": bad(field(b"x: \x0ba")),
    "space before the colon": bad(field(b"x : a")),
    "tab before the colon": bad(field(b"x\t: a")),
    "no name": bad(field(b": a")),
    "no colon": bad(field(b"xyz")),
    "odd name": bad(field(b"x(y): a")),
    "nul in the name": bad(field(b"x\0y: a")),
    "byte above 127 in the name": bad(field(b"x\xc3y: a")),
    "byte above 127": good(field(b"x: \xc3\xbc")),
    "blank": good(field(b"x: \t ")),
    "head that ends with a line feed": bad(OK + b"content-length: 3\r\n\nabc"),
    "head of line feeds": bad(b"HTTP/1.1 200 OK\ncontent-length: 3\n\nabc"),
    "head that ends with two carriage returns": bad(OK + b"content-length: 3\r\n\r\r\nabc"),
    "Host": good(field(b"host: a")),
    "two Hosts": either(field(b"host: a\r\nhost: b")),
    "Connection names Content-Length": good(field(b"connection: content-length")),
}

LENGTHS = {
    "spaces and tabs": good(length(b" \t3 \t")),
    "plus": bad(length(b" +3")),
    "minus": bad(length(b" -3")),
    "hexadecimal": bad(length(b" 0x3")),
    "underscore": bad(length(b" 3_0")),
    "empty": bad(length(b"")),
    "two words": bad(length(b" 3 3")),
    "list of equals": bad(length(b" 3, 3")),
    "list of others": bad(length(b" 3, 5")),
    "twice the same": bad(length(b" 3\r\ncontent-length: 3")),
    "twice": bad(length(b" 3\r\ncontent-length: 5")),
    "beyond 64 bits": bad(length(b" 18446744073709551619")),
    "vertical tab": bad(length(b" \x0b3")),
    "nul": bad(length(b" 3\0")),
    "folded": bad(length(b"\r\n 3")),
    "space before the colon": bad(OK + b"content-length : 3\r\n\r\nabc"),
    "with chunked": bad(OK + b"content-length: 13\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS),
    "behind chunked": bad(OK + b"transfer-encoding: chunked\r\ncontent-length: 13\r\n\r\n" + CHUNKS),
    "with identity": bad(OK + b"content-length: 3\r\ntransfer-encoding: identity\r\n\r\nabc"),
    "shorter than the content": good(OK + b"content-length: 3\r\n\r\nabc" + EVIL, kept=False),
    "longer than the content": bad(OK + b"content-length: 5\r\n\r\nabc", ends=True),
    "of nought": good(OK + b"content-length: 0\r\n\r\n", body=b""),
}

CODINGS = {
    "plain": good(coding(b" chunked")),
    "in other letters": good(coding(b" Chunked")),
    "gzip": bad(coding(b" gzip")),
    "gzip, chunked": bad(coding(b" gzip, chunked")),
    "chunked, gzip": bad(coding(b" chunked, gzip")),
    "chunked, chunked": bad(coding(b" chunked, chunked")),
    "identity": bad(coding(b" identity")),
    "identity, chunked": bad(coding(b" identity, chunked")),
    "twice": bad(coding(b" chunked\r\ntransfer-encoding: chunked")),
    "xchunked": bad(coding(b" xchunked")),
    "empty": bad(coding(b"")),
    "parameter": bad(coding(b" chunked;q=1")),
    "quoted": bad(coding(b' "chunked"')),
    "vertical tab": bad(coding(b" \x0bchunked")),
    "form feed": bad(coding(b" chunked\x0c")),
    "nul": bad(coding(b" chunked\0")),
    "folded": bad(coding(b"\r\n chunked")),
    "space before the colon": bad(OK + b"transfer-encoding : chunked\r\n\r\n" + CHUNKS),
    "in HTTP/1.0": bad(b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS),
}

CHUNK_LINES = {
    "extension": good(chunk(b'3;a="b c"')),
    "plus": bad(chunk(b"+3")),
    "minus": bad(chunk(b"-3")),
    "prefix": bad(chunk(b"0x3")),
    "space before": bad(chunk(b" 3")),
    "space after": bad(chunk(b"3 ")),
    "underscore": bad(chunk(b"0_3")),
    "empty": bad(chunk(b"")),
    "letters": bad(chunk(b"xyz")),
    "overflow to 3": bad(chunk(b"10000000000000003")),
    "line feed": bad(CHUNKED + b"3\nabc\r\n0\r\n\r\n"),
    "line feed in an extension": bad(chunk(b"3;a\nb")),
    "carriage return in an extension": bad(chunk(b"3;a\rb")),
    "nul in an extension": bad(chunk(b"3;a\0")),
    "extension without a name": bad(chunk(b"3;")),
    "content too long": bad(CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n"),
    "content without its end": bad(CHUNKED + b"3\r\nabc0\r\n\r\n"),
    "content that ends with a line feed": bad(CHUNKED + b"3\r\nabc\n0\r\n\r\n"),
    "last chunk with a line feed": bad(CHUNKED + b"3\r\nabc\r\n0\n\r\n"),
    "end with a line feed": bad(CHUNKED + b"3\r\nabc\r\n0\r\n\n"),
    "end with two carriage returns": bad(CHUNKED + b"3\r\nabc\r\n0\r\n\r\r\n"),
    "end missing": bad(CHUNKED + b"3\r\nabc\r\n", ends=True),
    "end half there": bad(CHUNKED + b"3\r\nabc\r\n0\r\n", ends=True),
    "no content": good(CHUNKED + b"0\r\n\r\n", body=b""),
    "trailer": good(CHUNKED + b"3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"),
    "trailer with a length": either(CHUNKED + b"3\r\nabc\r\n0\r\ncontent-length: 30\r\n\r\n"),
    "trailer with a coding": either(CHUNKED + b"3\r\nabc\r\n0\r\ntransfer-encoding: chunked\r\n\r\n"),
    "folded trailer": bad(CHUNKED + b"3\r\nabc\r\n0\r\nx: a\r\n b\r\n\r\n"),
    "trailer with a line feed": bad(CHUNKED + b"3\r\nabc\r\n0\r\nx: a\ny: b\r\n\r\n"),
    "trailer without a colon": bad(CHUNKED + b"3\r\nabc\r\n0\r\nxyz\r\n\r\n"),
    "trailer with a nul": bad(CHUNKED + b"3\r\nabc\r\n0\r\nx: \0\r\n\r\n"),
    "another answer in the trailers' place": bad(CHUNKED + b"3\r\nabc\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n"),
}

ENDS = {
    "end of the connection": good(OK + b"\r\nabc", kept=False, ends=True),
    "Connection: close": good(OK + b"connection: close\r\ncontent-length: 3\r\n\r\nabc", kept=False),
    "Connection: close and another answer": good(
        OK + b"connection: close\r\ncontent-length: 3\r\n\r\nabc" + EVIL, kept=False
    ),
    "another answer behind it": good(start(OK[:-2]) + EVIL, kept=False),
    "another answer behind the chunks": good(CHUNKED + CHUNKS + EVIL, kept=False),
    "line end behind it": good(start(OK[:-2]) + b"\r\n", kept=None),
    "interim answers": good(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + start(OK[:-2])
    ),
    "interim answer with a length": either(b"HTTP/1.1 103 E\r\ncontent-length: 3\r\n\r\n" + start(OK[:-2])),
    "interim answer alone": bad(b"HTTP/1.1 100 Continue\r\n\r\n", ends=True),
    "unknown interim answer": either(b"HTTP/1.1 199 Odd\r\n\r\n" + start(OK[:-2])),
    "switch that nobody asked for": bad(b"HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" + EVIL),
    "HEAD": good(OK + b"content-length: 3\r\n\r\n", method=b"HEAD", body=b""),
    "HEAD and chunked": good(CHUNKED, method=b"HEAD", body=b""),
    "HEAD and content all the same": good(start(OK[:-2]), method=b"HEAD", body=b"", kept=False),
    "204": good(b"HTTP/1.1 204 No Content\r\n\r\n", status=204, body=b""),
    "204 and a length": good(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", status=204, body=b""),
    "204 and chunked": good(
        b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", status=204, body=b"", kept=False
    ),
    "204 and the length of content that may come later": good(
        b"HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\n", status=204, body=b"", kept=False
    ),
    "204 and content all the same": good(start(b"HTTP/1.1 204 No Content"), status=204, body=b"", kept=False),
    "304": good(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n", status=304, body=b""),
    "304 and content all the same": good(start(b"HTTP/1.1 304 Not Modified"), status=304, body=b"", kept=False),
    "304 and another answer": good(b"HTTP/1.1 304 Not Modified\r\n\r\n" + EVIL, status=304, body=b"", kept=False),
}

RESPONSES: dict[str, Answer] = {
    f"{group}: {name}": answer
    for group, table in (
        ("status line", STATUS_LINES),
        ("field", FIELDS),
        ("content-length", LENGTHS),
        ("transfer-encoding", CODINGS),
        ("chunk", CHUNK_LINES),
        ("end", ENDS),
    )
    for name, answer in table.items()
}
