"""Requests whose header fields are odd: names, values, line ends and Host; framing fields are in `framing`."""

from __future__ import annotations

from tests.core.http1.corpus.case import Case, Seen, accept, either, refuse

HEAD = b"GET / HTTP/1.1\r\nhost: a\r\n"


def field(data: bytes) -> bytes:
    """Return a request with these bytes for a field, its line end apart."""
    return HEAD + data + b"\r\n\r\n"


def host(value: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nhost:" + value + b"\r\n\r\n"


NAMES = {
    "of every letter of a token": accept(field(b"X!#$%&'*+-.^_`|~9: 1")),
    "twice": accept(field(b"x: 1\r\nx: 2")),
    "empty": refuse(field(b": 1")),
    "empty, and an empty value": refuse(field(b":")),
    "space before the colon": refuse(field(b"x : 1")),
    "tab before the colon": refuse(field(b"x\t: 1")),
    "space within": refuse(field(b"x y: 1")),
    "space in front": refuse(field(b" x: 1")),
    "tab in front": refuse(field(b"\tx: 1")),
    "space in front of the first": refuse(b"GET / HTTP/1.1\r\n host: a\r\n\r\n"),
    "tab in front of the first": refuse(b"GET / HTTP/1.1\r\n\thost: a\r\n\r\n"),
    "blank line of a space": refuse(b"GET / HTTP/1.1\r\n \r\nhost: a\r\n\r\n"),
    "no colon": refuse(field(b"xyz")),
    "no colon and a space": refuse(field(b"x 1")),
    "no colon in the first": refuse(b"GET / HTTP/1.1\r\nhost\r\n\r\n"),
    "a request in its place": refuse(field(b"GET /hidden HTTP/1.1")),
    "control alone": refuse(field(b"\x01")),
    **{
        f"with {letter!r}": refuse(field(b"x" + letter + b"y: 1"))
        for letter in (b'"', b"(", b")", b",", b"/", b";", b"<", b"=", b">", b"?", b"@", b"[", b"\\", b"]", b"{", b"}")
    },
    **{
        f"with byte {byte:02x}": refuse(field(b"x" + bytes((byte,)) + b"y: 1"))
        for byte in (0, 1, 7, 8, 0x0A, 0x0B, 0x0C, 0x0D, 0x1B, 0x1F, 0x7F, 0x80, 0xA0, 0xC3, 0xFF)
    },
}

VALUES = {
    "empty": accept(field(b"x:")),
    "blank": accept(field(b"x: \t ")),
    "with a tab": accept(field(b"x: a\tb")),
    "with bytes above 127": accept(field(b"x: \xc3\xbc\xff\x80")),
    "with colons": accept(field(b"x: a: b:c")),
    "encoded line end": accept(field(b"x: a%0d%0ay: b")),
    "folded": refuse(field(b"x: a\r\n b")),
    "folded by a tab": refuse(field(b"x: a\r\n\tb")),
    "folded blank": refuse(field(b"x: a\r\n ")),
    "folded at once": refuse(field(b"x:\r\n a")),
    "folded behind the first line": refuse(b"GET / HTTP/1.1\r\n a\r\nhost: a\r\n\r\n"),
    "line feed alone": refuse(field(b"x: a\ny: b")),
    "line feed at the start": refuse(field(b"x:\na")),
    "line feed at the end": refuse(field(b"x: a\n")),
    "carriage return alone": refuse(field(b"x: a\ry: b")),
    "carriage return at the start": refuse(field(b"x:\ra")),
    "carriage return at the end": refuse(field(b"x: a\r")),
    "two carriage returns": refuse(field(b"x: a\r\r")),
    "line feed and carriage return": refuse(field(b"x: a\n\ry: b")),
    **{
        f"with byte {byte:02x}": refuse(field(b"x: a" + bytes((byte,)) + b"b"))
        for byte in (*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F)
    },
    **{
        f"with byte {byte:02x} at the end": refuse(field(b"x: a" + bytes((byte,))))
        for byte in (0, 1, 0x0B, 0x0C, 0x1F, 0x7F)
    },
    "nul at the start": refuse(field(b"x: \0a")),
    "vertical tab at the start": refuse(field(b"x:\x0ba")),
}

ENDS = {
    "line feeds alone": refuse(b"GET / HTTP/1.1\nhost: a\n\n"),
    "line feed at the end": refuse(b"GET / HTTP/1.1\r\nhost: a\r\n\n"),
    "line feeds at the end": refuse(b"GET / HTTP/1.1\r\nhost: a\n\n"),
    "line feed in the last field": refuse(b"GET / HTTP/1.1\r\nhost: a\n\r\n"),
    "carriage return at the end": refuse(b"GET / HTTP/1.1\r\nhost: a\r\n\r"),
    "two carriage returns at the end": refuse(b"GET / HTTP/1.1\r\nhost: a\r\n\r\r\n"),
    "carriage returns alone": refuse(b"GET / HTTP/1.1\rhost: a\r\r"),
    "line feed and carriage return": refuse(b"GET / HTTP/1.1\r\nhost: a\r\n\n\r"),
    "space at the end": refuse(b"GET / HTTP/1.1\r\nhost: a\r\n \r\n\r\n"),
    "nul at the end": refuse(b"GET / HTTP/1.1\r\nhost: a\r\n\0\r\n\r\n"),
    "first line alone": refuse(b"GET / HTTP/1.1\r\n\r\n"),
}

HOSTS = {
    "with port": accept(host(b" a:80"), Seen("GET", host="a:80")),
    "of digits": accept(host(b" 127.0.0.1"), Seen("GET", host="127.0.0.1")),
    "of IPv6": accept(host(b" [::1]:80"), Seen("GET", host="[::1]:80")),
    "in capitals": accept(host(b" A"), Seen("GET", host="A")),
    "spaces and tabs": accept(host(b"\t a \t")),
    "empty": either(host(b""), Seen("GET", host=None)),
    "empty with port": either(host(b" :80"), Seen("GET", host=None)),
    "with empty port": either(host(b" a:"), Seen("GET", host=None)),
    "with an underscore": either(host(b" a_b"), Seen("GET", host="a_b")),
    "list": either(host(b" a,b"), Seen("GET", host="a,b")),
    "none": refuse(b"GET / HTTP/1.1\r\nx: 1\r\n\r\n"),
    "two": refuse(host(b" a\r\nhost: b")),
    "two equal": refuse(host(b" a\r\nHost: a")),
    "two, one empty": refuse(host(b"\r\nhost: a")),
    "two, apart": refuse(host(b" a\r\nx: 1\r\nHOST: b")),
    "two in HTTP/1.0": refuse(b"GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n"),
    "space within": refuse(host(b" a b")),
    "tab within": refuse(host(b" a\tb")),
    "list with a space": refuse(host(b" a, b")),
    "user": refuse(host(b" u@a")),
    "path": refuse(host(b" a/b")),
    "query": refuse(host(b" a?b")),
    "fragment": refuse(host(b" a#b")),
    "backslash": refuse(host(b" a\\b")),
    "URL": refuse(host(b" http://a")),
    "two ports": refuse(host(b" a:80:81")),
    "odd port": refuse(host(b" a:b")),
    "signed port": refuse(host(b" a:+80")),
    "huge port": refuse(host(b" a:99999")),
    "open bracket": refuse(host(b" [::1")),
    "text after brackets": refuse(host(b" [::1]a")),
    "quoted": refuse(host(b' "a"')),
    "angle brackets": refuse(host(b" <a>")),
    "byte above 127": refuse(host(b" \xc3\xbc")),
    "control": refuse(host(b" a\x01")),
    "folded": refuse(host(b" a\r\n b")),
    "space before the colon": refuse(b"GET / HTTP/1.1\r\nhost : a\r\n\r\n"),
}

FIELDS: dict[str, Case] = {
    f"{group}: {name}": case
    for group, table in (("field name", NAMES), ("field value", VALUES), ("head end", ENDS), ("host", HOSTS))
    for name, case in table.items()
}
