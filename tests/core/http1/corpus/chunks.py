"""Requests whose chunks or trailers are odd; the fields that announce chunks are in `framing`."""

from __future__ import annotations

from tests.core.http1.corpus.case import LARGE, Case, Seen, accept, either, refuse

HEAD = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
ABC = Seen("POST", body=b"abc")
EMPTY = Seen("POST")


def size(line: bytes) -> bytes:
    """Return a request with this line, line end apart, before its three bytes of content."""
    return HEAD + line + b"\r\nabc\r\n0\r\n\r\n"


def content(data: bytes) -> bytes:
    return HEAD + data


def trailer(lines: bytes) -> bytes:
    return HEAD + b"3\r\nabc\r\n0\r\n" + lines + b"\r\n"


SIZES = {
    "digit": accept(size(b"3"), ABC),
    "leading zeros": either(size(b"003"), ABC),
    "capital letter": accept(content(b"A\r\n0123456789\r\n0\r\n\r\n"), Seen("POST", body=b"0123456789")),
    "small letter": accept(content(b"a\r\n0123456789\r\n0\r\n\r\n"), Seen("POST", body=b"0123456789")),
    "plus": refuse(size(b"+3")),
    "minus": refuse(size(b"-3")),
    "prefixed": refuse(size(b"0x3")),
    "space before": refuse(size(b" 3")),
    "tab before": refuse(size(b"\t3")),
    "space after": refuse(size(b"3 ")),
    "tab after": refuse(size(b"3\t")),
    "space within": refuse(size(b"0 3")),
    "underscore": refuse(size(b"0_3")),
    "empty": refuse(size(b"")),
    "no number": refuse(size(b"x")),
    "number and letter": refuse(size(b"3g")),
    "suffix": refuse(size(b"3h")),
    "point": refuse(size(b"3.0")),
    "comma": refuse(size(b"3,3")),
    "quoted": refuse(size(b'"3"')),
    "wide digit": refuse(size(b"\xef\xbc\x93")),
    "nul after": refuse(size(b"3\0")),
    "nul before": refuse(size(b"\x003")),
    "vertical tab": refuse(size(b"3\x0b")),
    "form feed": refuse(size(b"\x0c3")),
    "17 digits": refuse(size(b"f" * 17)),
    "overflow to 3": refuse(size(b"10000000000000003")),
    "overflow of 32 bits": refuse(size(b"100000000000000000000000000000003")),
    "top bit": refuse(size(b"8000000000000003"), LARGE),
    "all bits": refuse(size(b"ffffffffffffffff"), LARGE),
    "too many zeros": refuse(size(b"0" * 30 + b"3")),
    "line feed alone": refuse(content(b"3\nabc\r\n0\r\n\r\n")),
    "carriage return alone": refuse(content(b"3\rabc\r\n0\r\n\r\n")),
    "two carriage returns": refuse(content(b"3\r\r\nabc\r\n0\r\n\r\n")),
    "blank line before": refuse(content(b"\r\n3\r\nabc\r\n0\r\n\r\n")),
    "line feed before": refuse(content(b"\n3\r\nabc\r\n0\r\n\r\n")),
}

EXTENSIONS = {
    "name": accept(size(b"3;a"), ABC),
    "name and value": accept(size(b"3;a=b"), ABC),
    "several": accept(size(b"3;a=b;c;d=e"), ABC),
    "quoted": accept(size(b'3;a="b c;d=\\"e\\""'), ABC),
    "space before the semicolon": either(size(b"3 ;a=b"), ABC),
    "space after the semicolon": either(size(b"3; a=b"), ABC),
    "spaces around the equals sign": either(size(b"3;a = b"), ABC),
    "of the last chunk": accept(content(b"3\r\nabc\r\n0;a=b\r\n\r\n"), ABC),
    "without a name": refuse(size(b"3;")),
    "without a name, with a value": refuse(size(b"3;=b")),
    "without a value": refuse(size(b"3;a=")),
    "two semicolons": refuse(size(b"3;;a")),
    "open quotes": refuse(size(b'3;a="b')),
    "text after quotes": refuse(size(b'3;a="b"c')),
    "line end in quotes": refuse(size(b'3;a="b\r\n"')),
    "line feed": refuse(size(b"3;a\nb")),
    "line feed at the end": refuse(content(b"3;a\nabc\r\n0\r\n\r\n")),
    "line feed in quotes": refuse(size(b'3;a="\n"')),
    "carriage return": refuse(size(b"3;a\rb")),
    "carriage return at the end": refuse(size(b"3;a\r")),
    "carriage return in quotes": refuse(size(b'3;a="\r"')),
    "nul": refuse(size(b"3;a\0")),
    "nul in quotes": refuse(size(b'3;a="\0"')),
    "control": refuse(size(b"3;a=\x01")),
    "vertical tab": refuse(size(b"3;\x0ba")),
    "delete": refuse(size(b"3;a\x7f")),
    "too long": refuse(size(b"3;a=" + b"b" * 70_000), LARGE),
    "line feed in that of the last chunk": refuse(content(b"3\r\nabc\r\n0;a\n\r\n")),
}

ENDS = {
    "two chunks": accept(content(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), ABC),
    "no content": accept(content(b"0\r\n\r\n"), EMPTY),
    "several noughts": either(content(b"000\r\n\r\n"), EMPTY),
    "longer than it says": refuse(content(b"3\r\nabcd\r\n0\r\n\r\n")),
    "shorter than it says": refuse(content(b"4\r\nabc\r\n0\r\n\r\n")),
    "no line end": refuse(content(b"3\r\nabc0\r\n\r\n")),
    "line feed alone": refuse(content(b"3\r\nabc\n0\r\n\r\n")),
    "carriage return alone": refuse(content(b"3\r\nabc\r0\r\n\r\n")),
    "two carriage returns": refuse(content(b"3\r\nabc\r\r\n0\r\n\r\n")),
    "space": refuse(content(b"3\r\nabc \r\n0\r\n\r\n")),
    "two line ends": refuse(content(b"3\r\nabc\r\n\r\n0\r\n\r\n")),
    "last chunk with a line feed": refuse(content(b"3\r\nabc\r\n0\n\r\n")),
    "end with a line feed": refuse(content(b"3\r\nabc\r\n0\r\n\n")),
    "end with line feeds": refuse(content(b"3\r\nabc\r\n0\n\n")),
    "end with a carriage return": refuse(content(b"3\r\nabc\r\n0\r\n\r")),
    "end with two carriage returns": refuse(content(b"3\r\nabc\r\n0\r\n\r\r\n")),
    "last chunk with two carriage returns": refuse(content(b"3\r\nabc\r\n0\r\r\n\r\n")),
    "signed last chunk": refuse(content(b"3\r\nabc\r\n-0\r\n\r\n")),
    "prefixed last chunk": refuse(content(b"3\r\nabc\r\n0x0\r\n\r\n")),
    "last chunk with a space": refuse(content(b"3\r\nabc\r\n0 \r\n\r\n")),
    "end missing": refuse(content(b"3\r\nabc\r\n0\r\n")),
    "request hidden in a chunk": accept(
        content(b"26\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: b\r\n\r\n\r\n0\r\n\r\n"),
        Seen("POST", body=b"0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: b\r\n\r\n"),
    ),
}

TRAILERS = {
    "field": accept(trailer(b"x-t: 1\r\n"), ABC),
    "fields": accept(trailer(b"x-t: 1\r\nX-U:\t2 \r\n"), ABC),
    "content-length": either(trailer(b"content-length: 30\r\n"), ABC),
    "transfer-encoding": either(trailer(b"transfer-encoding: chunked\r\n"), ABC),
    "host": either(trailer(b"host: b\r\n"), ABC),
    "connection": either(trailer(b"connection: close\r\n"), ABC),
    "authorization": either(trailer(b"authorization: x\r\n"), ABC),
    "upgrade": either(trailer(b"upgrade: h2c\r\n"), ABC),
    "expect": either(trailer(b"expect: 100-continue\r\n"), ABC),
    "no colon": refuse(trailer(b"x-t\r\n")),
    "a request in their place": refuse(trailer(b"GET /hidden HTTP/1.1\r\nhost: a\r\n")),
    "no name": refuse(trailer(b": 1\r\n")),
    "space before the colon": refuse(trailer(b"x-t : 1\r\n")),
    "space in front": refuse(trailer(b" x-t: 1\r\n")),
    "folded": refuse(trailer(b"x-t: 1\r\n 2\r\n")),
    "line feed alone": refuse(trailer(b"x-t: 1\nx-u: 2\r\n")),
    "carriage return alone": refuse(trailer(b"x-t: 1\rx-u: 2\r\n")),
    "end with a line feed": refuse(content(b"3\r\nabc\r\n0\r\nx-t: 1\r\n\n")),
    "nul": refuse(trailer(b"x-t: \0\r\n")),
    "control": refuse(trailer(b"x-t: \x01\r\n")),
    "odd name": refuse(trailer(b"x(t): 1\r\n")),
    "too long": refuse(trailer(b"x-t: " + b"a" * 70_000 + b"\r\n"), LARGE),
}

CHUNKED: dict[str, Case] = {
    f"{group}: {name}": case
    for group, table in (
        ("chunk size", SIZES),
        ("chunk extension", EXTENSIONS),
        ("chunk end", ENDS),
        ("trailer", TRAILERS),
    )
    for name, case in table.items()
}
