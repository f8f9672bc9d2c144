from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.net.proxy_header import MOST_BYTES, ProxyHeader, ProxyHeaderError, parse

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
TCP4 = bytes([192, 0, 2, 1, 198, 51, 100, 1]) + struct.pack("!HH", 4242, 443)
TCP6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1") + socket.inet_pton(socket.AF_INET6, "::1") + TCP4[8:]
UNIX = b"/run/a.sock".ljust(108, b"\0") + b"/run/b.sock".ljust(108, b"\0")


def v2(command: int, family: int, addresses: bytes, more: bytes = b"") -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(addresses) + len(more)) + addresses + more


WHOLE = {
    b"PROXY TCP4 192.0.2.1 198.51.100.1 4242 443\r\n": (("192.0.2.1", 4242), ("198.51.100.1", 443)),
    b"PROXY TCP6 2001:db8::1 ::1 4242 443\r\n": (("2001:db8::1", 4242), ("::1", 443)),
    b"PROXY TCP6 2001:0db8:0:0::0001 ::1 65535 0\r\n": (("2001:db8::1", 65535), ("::1", 0)),
    b"PROXY UNKNOWN\r\n": (None, None),
    b"PROXY UNKNOWN ffff::1 whatever comes\r\n": (None, None),
    v2(0x21, 0x11, TCP4): (("192.0.2.1", 4242), ("198.51.100.1", 443)),
    v2(0x21, 0x21, TCP6): (("2001:db8::1", 4242), ("::1", 443)),
    v2(0x21, 0x31, UNIX): ("/run/a.sock", "/run/b.sock"),
    v2(0x21, 0x11, TCP4, b"\x03\x00\x04\xde\xad\xbe\xef"): (("192.0.2.1", 4242), ("198.51.100.1", 443)),
    v2(0x21, 0x00, b""): (None, None),
    v2(0x21, 0x00, b"", b"\x04\x00\x02ab"): (None, None),
    v2(0x20, 0x00, b""): (None, None),
    v2(0x20, 0x11, TCP4): (None, None),
    v2(0x20, 0xFF, b"anything"): (None, None),
}


@pytest.mark.parametrize("data", WHOLE)
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_header_is_read_and_what_follows_is_left(data: bytes, rest: bytes) -> None:
    assert parse(data + rest) == ProxyHeader(len(data), *WHOLE[data])


@pytest.mark.parametrize("data", WHOLE)
def test_a_header_may_come_byte_by_byte(data: bytes) -> None:
    assert [parse(data[:size]) for size in range(len(data))] == [None] * len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"G",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01",
        b"proxy TCP4",
        b"PROXY\tTCP4",
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP5 192.0.2.1 198.51.100.1 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
        b"PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 -1 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 \xb2 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n" + bytes(80),
        b"PROXY UNKNOWN " + b"x" * 93,
        SIGNATURE[:11] + b"\r",
        SIGNATURE + b"\x11",
        SIGNATURE + b"\x22",
        v2(0x21, 0x12, TCP4),
        v2(0x21, 0x11, TCP4[:-1]),
        v2(0x21, 0x21, TCP4),
        v2(0x21, 0x31, TCP6),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, MOST_BYTES - 15),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        parse(data)


def test_the_longest_headers_are_read() -> None:
    text = b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"
    binary = v2(0x21, 0x11, TCP4, bytes(MOST_BYTES - 16 - len(TCP4)))

    assert [parse(text), parse(binary + b"more")] == [
        ProxyHeader(107),
        ProxyHeader(MOST_BYTES, *WHOLE[v2(0x21, 0x11, TCP4)]),
    ]


@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21"]))
def test_any_bytes_are_read_or_refused_and_more_of_them_change_no_verdict(tail: bytes, start: bytes) -> None:
    data = start + tail
    verdicts = [verdict(data[:size]) for size in range(len(data) + 1)]
    final = next((each for each in verdicts if each != "more"), "more")

    assert verdicts == ["more"] * verdicts.index(final) + [final] * (len(verdicts) - verdicts.index(final))


def verdict(data: bytes) -> object:
    try:
        header = parse(data)
    except ProxyHeaderError:
        return "refused"
    return header or "more"


@given(
    st.one_of(st.tuples(*[st.ip_addresses(v=4)] * 2), st.tuples(*[st.ip_addresses(v=6)] * 2)),
    st.integers(0, 65535),
    st.integers(0, 65535),
)
def test_both_versions_say_the_same(ips: tuple[object, object], source: int, destination: int) -> None:
    version = 6 if ":" in str(ips[0]) else 4
    kind = socket.AF_INET if version == 4 else socket.AF_INET6
    text = f"PROXY TCP{version} {ips[0]} {ips[1]} {source} {destination}\r\n".encode()
    packed = b"".join(socket.inet_pton(kind, str(ip)) for ip in ips) + struct.pack("!HH", source, destination)
    one, two = parse(text), parse(v2(0x21, 0x11 if version == 4 else 0x21, packed))

    assert one is not None
    assert two is not None
    assert _packed(kind, one) == _packed(kind, two)
    assert [each[1] for each in _packed(kind, one)] == [source, destination]


def _packed(kind: int, header: ProxyHeader) -> list[tuple[bytes, object]]:
    return [(socket.inet_pton(kind, str(each[0])), each[1]) for each in (header.source, header.destination) if each]
