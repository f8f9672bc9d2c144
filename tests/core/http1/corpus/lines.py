"""Requests whose first line is odd: methods, targets, versions and the white space between them."""

from __future__ import annotations

from tests.core.http1.corpus.case import BAD, METHOD, TARGET, VERSION, Case, Seen, accept, either, refuse

ANY_TARGET = Seen("GET", None)
REST = b"\r\nhost: a\r\n\r\n"


def line(first: bytes) -> bytes:
    return first + REST


def method(name: bytes) -> bytes:
    return line(name + b" / HTTP/1.1")


def target(value: bytes) -> bytes:
    return line(b"GET " + value + b" HTTP/1.1")


def version(value: bytes) -> bytes:
    return line(b"GET / " + value)


METHODS = {
    "DELETE": accept(method(b"DELETE"), Seen("DELETE")),
    "OPTIONS": accept(method(b"OPTIONS"), Seen("OPTIONS")),
    "unknown": either(method(b"BREW"), Seen("BREW"), statuses=METHOD),
    "of small letters": either(method(b"get"), Seen("get"), statuses=METHOD),
    "of two cases": either(method(b"Get"), Seen("Get"), statuses=METHOD),
    "with odd letters of a token": either(method(b"M!#$%&'*+.^_`|~1"), Seen("M!#$%&'*+.^_`|~1"), statuses=METHOD),
    "CONNECT": refuse(line(b"CONNECT a:80 HTTP/1.1"), METHOD),
    "CONNECT with a path": refuse(method(b"CONNECT"), METHOD),
    "TRACE": refuse(method(b"TRACE"), METHOD),
    "PRI": refuse(method(b"PRI"), METHOD),
    "missing": refuse(line(b" / HTTP/1.1")),
    "with a colon": refuse(method(b"GET:")),
    "with a parenthesis": refuse(method(b"GET(")),
    "with a slash": refuse(method(b"G/T")),
    "with an at sign": refuse(method(b"G@T")),
    "with quotes": refuse(method(b'"GET"')),
    "with a comma": refuse(method(b"GET,POST")),
    "with a nul": refuse(method(b"GET\0")),
    "with a control": refuse(method(b"\x01GET")),
    "with a vertical tab": refuse(method(b"GET\x0b")),
    "with a carriage return": refuse(method(b"GET\r")),
    "with a line feed": refuse(method(b"GET\n")),
    "with a byte above 127": refuse(method(b"G\xcbT")),
    "after a byte order mark": refuse(method(b"\xef\xbb\xbfGET")),
    "with delete": refuse(method(b"GET\x7f")),
    "too long": refuse(method(b"G" * 70_000), METHOD | {431, 414}),
}

WHITE_SPACE = {
    "two spaces before the target": refuse(line(b"GET  / HTTP/1.1")),
    "two spaces after the target": refuse(line(b"GET /  HTTP/1.1")),
    "tab before the target": refuse(line(b"GET\t/ HTTP/1.1")),
    "tab after the target": refuse(line(b"GET /\tHTTP/1.1")),
    "space and tab": refuse(line(b"GET \t/ HTTP/1.1")),
    "vertical tab": refuse(line(b"GET\x0b/ HTTP/1.1")),
    "form feed": refuse(line(b"GET /\x0cHTTP/1.1")),
    "no-break space": refuse(line(b"GET\xa0/ HTTP/1.1")),
    "in front": refuse(line(b" GET / HTTP/1.1")),
    "tab in front": refuse(line(b"\tGET / HTTP/1.1")),
    "at the end": refuse(line(b"GET / HTTP/1.1 ")),
    "tab at the end": refuse(line(b"GET / HTTP/1.1\t")),
    "in the target": refuse(line(b"GET /a b HTTP/1.1")),
    "another version in the target": refuse(line(b"GET / HTTP/1.1 HTTP/1.1")),
    "another version in the target, older": refuse(line(b"GET / HTTP/1.0 HTTP/1.1")),
    "no target": refuse(line(b"GET HTTP/1.1")),
    "no target but its spaces": refuse(line(b"GET  HTTP/1.1")),
    "blank line before": accept(b"\r\n" + line(b"GET / HTTP/1.1")),
    "blank lines before": either(b"\r\n\r\n\r\n" + line(b"GET / HTTP/1.1")),
    "blank line with a space before": refuse(b" \r\n" + line(b"GET / HTTP/1.1")),
    "bare line feed before": refuse(b"\n" + line(b"GET / HTTP/1.1")),
    "bare carriage return before": refuse(b"\r" + line(b"GET / HTTP/1.1")),
    "nul before": refuse(b"\0" + line(b"GET / HTTP/1.1")),
    "line feed at the end": refuse(b"GET / HTTP/1.1\nhost: a\r\n\r\n"),
    "carriage return at the end": refuse(b"GET / HTTP/1.1\rhost: a\r\n\r\n"),
    "two carriage returns at the end": refuse(b"GET / HTTP/1.1\r\r\nhost: a\r\n\r\n"),
    "line feed and carriage return": refuse(b"GET / HTTP/1.1\n\rhost: a\r\n\r\n"),
}

TARGETS = {
    "dot segments": accept(target(b"/a/../b/./c"), ANY_TARGET),
    "slashes": accept(target(b"/a//b"), ANY_TARGET),
    "query": accept(target(b"/a?b=c&d"), Seen("GET", "/a?b=c&d")),
    "question mark": either(target(b"/a?"), ANY_TARGET),
    "encoded slash": either(target(b"/a%2Fb"), ANY_TARGET),
    "nothing but slashes": either(target(b"//b/c"), ANY_TARGET),
    "looks like a URL": either(target(b"/http://b/c"), ANY_TARGET),
    "encoded line end": either(target(b"/a%0d%0ax:%20y"), ANY_TARGET),
    "encoded line end in the query": either(target(b"/?a=%0d%0ax:%20y"), ANY_TARGET),
    "letters that URLs leave out": either(target(b"/{a}|\\^`<b>"), ANY_TARGET, statuses=TARGET),
    "letters that queries leave out": either(target(b"/?{a}|\\^`<b>"), ANY_TARGET, statuses=TARGET),
    "absolute": accept(target(b"http://b/c"), Seen("GET", "/c", host="b")),
    "absolute with port": accept(target(b"http://b:81/c"), Seen("GET", "/c", host="b:81")),
    "absolute without path": accept(target(b"http://b"), Seen("GET", "/", host="b")),
    "absolute with a query and no path": accept(target(b"http://b?c"), Seen("GET", "/?c", host="b")),
    "absolute for the same host": accept(target(b"http://a/c"), Seen("GET", "/c")),
    "absolute with a user": refuse(target(b"http://u@b/")),
    "absolute with a backslash": refuse(target(b"http://b\\@a/")),
    "absolute without a host": refuse(target(b"http:///c")),
    "absolute with one slash": refuse(target(b"http:/c")),
    "absolute of another scheme": refuse(target(b"ftp://b/c")),
    "absolute with two ports": refuse(target(b"http://b:80:81/c")),
    "absolute with an odd port": refuse(target(b"http://b:x/c")),
    "absolute with a fragment": refuse(target(b"http://b/c#d")),
    "absolute, and no Host": refuse(b"GET http://b/ HTTP/1.1\r\n\r\n"),
    "absolute, and two Hosts": refuse(b"GET http://b/ HTTP/1.1\r\nhost: b\r\nhost: b\r\n\r\n"),
    "absolute, and an odd Host": refuse(b"GET http://b/ HTTP/1.1\r\nhost: b c\r\n\r\n"),
    "star": refuse(target(b"*")),
    "star of OPTIONS": accept(line(b"OPTIONS * HTTP/1.1"), Seen("OPTIONS", "*")),
    "authority": refuse(target(b"a:80")),
    "relative": refuse(target(b"a")),
    "query alone": refuse(target(b"?a")),
    "fragment": refuse(target(b"/a#b")),
    "leaves the root": refuse(target(b"/../a")),
    "leaves the root, encoded": refuse(target(b"/%2e%2e/a")),
    "nul": refuse(target(b"/\0")),
    "encoded nul": refuse(target(b"/%00")),
    "control": refuse(target(b"/\x01")),
    "delete": refuse(target(b"/\x7f")),
    "vertical tab": refuse(target(b"/\x0b")),
    "byte above 127": refuse(target(b"/\xc3\xbc")),
    "byte above 127 in the query": refuse(target(b"/?\xff")),
    "broken escape": refuse(target(b"/%g0")),
    "half an escape": refuse(target(b"/%2")),
    "line feed": refuse(target(b"/\n")),
    "carriage return": refuse(target(b"/\r")),
    "carriage return in the query": refuse(target(b"/?\r")),
    "too long": refuse(target(b"/" + b"a" * 70_000), TARGET | {431}),
}

VERSIONS = {
    "HTTP/1.0": accept(line(b"GET / HTTP/1.0"), last=True),
    "HTTP/0.9": refuse(b"GET /\r\n", VERSION),
    "HTTP/0.9 with fields": refuse(b"GET /\r\nhost: a\r\n\r\n", VERSION),
    "HTTP/0.9 by its name": refuse(version(b"HTTP/0.9"), VERSION),
    "HTTP/1.2": refuse(version(b"HTTP/1.2"), VERSION),
    "HTTP/1.9": refuse(version(b"HTTP/1.9"), VERSION),
    "HTTP/2": refuse(version(b"HTTP/2"), VERSION),
    "HTTP/2.0": refuse(version(b"HTTP/2.0"), VERSION),
    "HTTP/3.0": refuse(version(b"HTTP/3.0"), VERSION),
    "HTTP/9.9": refuse(version(b"HTTP/9.9"), VERSION),
    "HTTP/2 preface": refuse(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", METHOD | VERSION),
    "small letters": refuse(version(b"http/1.1"), VERSION),
    "two cases": refuse(version(b"Http/1.1"), VERSION),
    "two digits after the point": refuse(version(b"HTTP/1.10"), VERSION),
    "leading zero": refuse(version(b"HTTP/01.1"), VERSION),
    "zero before the last digit": refuse(version(b"HTTP/1.01"), VERSION),
    "no minor": refuse(version(b"HTTP/1"), VERSION),
    "empty minor": refuse(version(b"HTTP/1."), VERSION),
    "no point": refuse(version(b"HTTP/11"), VERSION),
    "comma": refuse(version(b"HTTP/1,1"), VERSION),
    "two points": refuse(version(b"HTTP/1.1.1"), VERSION),
    "no slash": refuse(version(b"HTTP 1.1"), VERSION),
    "no number": refuse(version(b"HTTP/"), VERSION),
    "name alone": refuse(version(b"HTTP"), VERSION),
    "plus": refuse(version(b"HTTP/+1.1"), VERSION),
    "hexadecimal": refuse(version(b"HTTP/0x1.1"), VERSION),
    "space within": refuse(version(b"HTTP/ 1.1"), VERSION),
    "text behind": refuse(version(b"HTTP/1.1x"), VERSION),
    "nul behind": refuse(version(b"HTTP/1.1\0"), VERSION),
    "vertical tab behind": refuse(version(b"HTTP/1.1\x0b"), VERSION),
    "wide digit": refuse(version(b"HTTP/1.\xef\xbc\x91"), VERSION),
    "another letter": refuse(version(b"HTTQ/1.1"), VERSION),
    "HTTPS": refuse(version(b"HTTPS/1.1"), VERSION),
    "ICE": refuse(version(b"ICE/1.0"), VERSION),
    "ICE with its method": refuse(line(b"SOURCE / ICE/1.0"), VERSION),
    "RTSP": refuse(line(b"PLAY / RTSP/1.0"), VERSION | METHOD),
    "SIP": refuse(line(b"INVITE / SIP/2.0"), VERSION | METHOD),
    "TLS": refuse(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),
}

LINES: dict[str, Case] = {
    f"{group}: {name}": case
    for group, table in (
        ("method", METHODS),
        ("request line", WHITE_SPACE),
        ("target", TARGETS),
        ("version", VERSIONS),
    )
    for name, case in table.items()
}
