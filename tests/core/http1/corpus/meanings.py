"""Requests that are well formed and might be understood differently, and those that follow one another."""

from __future__ import annotations

from tests.core.http1.corpus.case import BAD, EXPECTATION, VERSION, Case, Seen, accept, either, refuse

POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
GET = b"GET / HTTP/1.1\r\nhost: a\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n"
CHUNKED_HIDDEN = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
OF_HIDDEN = b"content-length: %d\r\n\r\n" % len(HIDDEN)
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
ABC = Seen("POST", body=b"abc")
CARRIED = Seen("POST", body=HIDDEN)
UPGRADE = b"connection: upgrade\r\nupgrade: websocket\r\n"
H2C = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"


def both_ways(head: bytes, case: Seen, name: str) -> dict[str, Case]:
    """Return two cases: a request in the content of another, by its length and in chunks."""
    return {
        f"{name}, with a length": accept(head + OF_HIDDEN + HIDDEN, case),
        f"{name}, in chunks": accept(head + CHUNKED + CHUNKED_HIDDEN, case),
    }


CARRIERS = {
    **both_ways(POST, CARRIED, "POST"),
    **both_ways(GET, Seen("GET", body=HIDDEN), "GET"),
    **both_ways(b"DELETE / HTTP/1.1\r\nhost: a\r\n", Seen("DELETE", body=HIDDEN), "DELETE"),
    **both_ways(b"HEAD / HTTP/1.1\r\nhost: a\r\n", Seen("HEAD", body=HIDDEN), "HEAD"),
    **both_ways(b"OPTIONS / HTTP/1.1\r\nhost: a\r\n", Seen("OPTIONS", body=HIDDEN), "OPTIONS"),
    **both_ways(POST + UPGRADE, CARRIED, "upgrade to websocket"),
    **both_ways(GET + UPGRADE, Seen("GET", body=HIDDEN), "GET and upgrade to websocket"),
    **both_ways(POST + H2C, CARRIED, "upgrade to h2c"),
    **both_ways(POST + b"connection: upgrade\r\nupgrade: h2c, websocket\r\n", CARRIED, "upgrade to two protocols"),
    **both_ways(POST + b"upgrade: websocket\r\n", CARRIED, "upgrade that Connection does not name"),
    **both_ways(POST + b"connection: upgrade\r\nupgrade: TLS/1.0\r\n", CARRIED, "upgrade to TLS"),
    **both_ways(POST + b"connection: upgrade\r\n", CARRIED, "upgrade to nothing"),
    **both_ways(POST + b"expect: 100-continue\r\n", CARRIED, "expectation"),
    **both_ways(POST + b"connection: content-length, host\r\n", CARRIED, "Connection names what is needed"),
    **both_ways(POST + b"connection: transfer-encoding\r\n", CARRIED, "Connection names the coding"),
    **both_ways(POST + b"te: chunked, trailers\r\n", CARRIED, "TE"),
    **both_ways(POST + b"x-http-method-override: GET\r\n", CARRIED, "method override"),
    "HTTP/1.0, with a length": accept(
        b"POST / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n" + OF_HIDDEN + HIDDEN, CARRIED
    ),
    "HTTP/1.0 that asks for an upgrade": accept(
        b"POST / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive, upgrade\r\nupgrade: websocket\r\n" + OF_HIDDEN + HIDDEN,
        CARRIED,
    ),
    "HTTP/1.0 with an expectation": accept(
        b"POST / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\nexpect: 100-continue\r\n" + OF_HIDDEN + HIDDEN,
        CARRIED,
    ),
}

FIELDS_OF_THE_HOP = {
    "Connection names Host": either(GET + b"connection: host\r\n\r\n"),
    "Connection names itself": either(GET + b"connection: connection\r\n\r\n"),
    "Connection names a field": accept(GET + b"connection: x-a\r\nx-a: 1\r\n\r\n", absent=frozenset((b"x-a",))),
    "Connection twice": accept(
        GET + b"connection: x-a\r\nconnection: X-B\r\nx-a: 1\r\nx-b: 2\r\n\r\n", absent=frozenset((b"x-a", b"x-b"))
    ),
    "Connection is empty": accept(GET + b"connection: ,, ,\r\n\r\n"),
    "Connection with a quoted word": either(GET + b'connection: "x-a"\r\n\r\n'),
    "Connection: close": accept(GET + b"connection: close\r\n\r\n", last=True),
    "Connection: close among others": accept(GET + b"connection: a, Close ,b\r\n\r\n", last=True),
    "Connection: close and keep-alive": accept(GET + b"connection: keep-alive, close\r\n\r\n", last=True),
    "Connection: close in a second field": accept(
        GET + b"connection: keep-alive\r\nconnection: close\r\n\r\n", last=True
    ),
    "Proxy-Connection": accept(GET + b"proxy-connection: close\r\n\r\n", absent=frozenset((b"proxy-connection",))),
    "Keep-Alive": accept(GET + b"keep-alive: timeout=5\r\n\r\n", absent=frozenset((b"keep-alive",))),
    "TE: trailers": accept(GET + b"te: trailers\r\n\r\n"),
    "TE: chunked, which is not to be said": either(GET + b"te: chunked\r\n\r\n"),
    "TE with weights": either(GET + b"te: gzip;q=0.5, trailers\r\n\r\n"),
    "Trailer names Content-Length": either(
        POST + b"trailer: content-length\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", ABC
    ),
    "upgrade to h2c": either(GET + H2C + b"\r\n", absent=frozenset((b"upgrade", b"http2-settings"))),
    "upgrade in HTTP/1.0": accept(
        b"GET / HTTP/1.0\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        last=True,
        absent=frozenset((b"upgrade",)),
    ),
}

EXPECTATIONS = {
    "without content": accept(GET + b"expect: 100-continue\r\n\r\n"),
    "in other letters": accept(POST + b"expect: 100-Continue\r\ncontent-length: 3\r\n\r\nabc", ABC),
    "unknown": refuse(POST + b"expect: a miracle\r\ncontent-length: 3\r\n\r\nabc", EXPECTATION),
    "empty": refuse(POST + b"expect:\r\ncontent-length: 3\r\n\r\nabc", EXPECTATION),
    "with a parameter": refuse(POST + b"expect: 100-continue;a=b\r\ncontent-length: 3\r\n\r\nabc", EXPECTATION),
    "list": refuse(POST + b"expect: 100-continue, x\r\ncontent-length: 3\r\n\r\nabc", EXPECTATION),
    "something like it": refuse(POST + b"expect: 100-continues\r\ncontent-length: 3\r\n\r\nabc", EXPECTATION),
    "number alone": refuse(POST + b"expect: 100\r\ncontent-length: 3\r\n\r\nabc", EXPECTATION),
    "quoted": refuse(POST + b'expect: "100-continue"\r\ncontent-length: 3\r\n\r\nabc', EXPECTATION),
    "behind a vertical tab": refuse(POST + b"expect: \x0b100-continue\r\ncontent-length: 3\r\n\r\nabc", EXPECTATION),
    "folded": refuse(POST + b"expect:\r\n 100-continue\r\ncontent-length: 3\r\n\r\nabc", BAD),
}

SEQUENCES = {
    "three requests": accept(HIDDEN * 3, *[Seen("GET", "/hidden")] * 3),
    "blank line between": accept(HIDDEN + b"\r\n" + HIDDEN, *[Seen("GET", "/hidden")] * 2),
    "bare line feed between": refuse(HIDDEN + b"\n" + HIDDEN, after=(Seen("GET", "/hidden"),)),
    "content that was not announced": refuse(
        POST + b"\r\nabc\r\n" + HIDDEN, frozenset((400, 405, 501)), after=(Seen("POST"),)
    ),
    "content longer than announced": refuse(
        POST + b"content-length: 3\r\n\r\nabcx=1&y=2\r\n\r\n" + HIDDEN, after=(ABC,)
    ),
    "line end after content": accept(POST + b"content-length: 3\r\n\r\nabc\r\n" + HIDDEN, ABC, Seen("GET", "/hidden")),
    "good and then ambiguous": refuse(
        HIDDEN + POST + b"content-length: 3\r\ncontent-length: 0\r\n\r\nabc", after=(Seen("GET", "/hidden"),)
    ),
    "good and then HTTP/2": refuse(
        HIDDEN + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION | {405, 501}, after=(Seen("GET", "/hidden"),)
    ),
    "chunks and then a length": accept(
        POST + CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + POST + b"content-length: 3\r\n\r\nabc", ABC, ABC
    ),
    "nothing follows close": accept(GET + b"connection: close\r\n\r\n" + HIDDEN, last=True),
    "nothing follows HTTP/1.0": accept(b"GET / HTTP/1.0\r\nhost: a\r\n\r\n" + HIDDEN, last=True),
}

MEANINGS: dict[str, Case] = {
    f"{group}: {name}": case
    for group, table in (
        ("carrier", CARRIERS),
        ("hop", FIELDS_OF_THE_HOP),
        ("expect", EXPECTATIONS),
        ("sequence", SEQUENCES),
    )
    for name, case in table.items()
}
