from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.http1.hops import (
    MAX_HOPS,
    Hop,
    Hops,
    normal_address,
    read_forwarded,
    read_host,
    read_scheme,
    read_x_forwarded_for,
    write_forwarded,
)


def nodes(value: bytes) -> list[str]:
    return [hop.node for hop in read_x_forwarded_for(value)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"192.0.2.1", ["192.0.2.1"]),
        (b" 192.0.2.1 ,\t10.0.0.1", ["192.0.2.1", "10.0.0.1"]),
        (b"192.0.2.1:4711,[2001:db8::1]:80,[2001:DB8::2]", ["192.0.2.1", "2001:db8::1", "2001:db8::2"]),
        (b"2001:db8:0:0::1, ::ffff:192.0.2.7", ["2001:db8::1", "192.0.2.7"]),
        (b",, 192.0.2.1,", ["192.0.2.1"]),
        (b"", []),
        (b",", []),
    ],
)
def test_a_list_of_addresses_is_read(value: bytes, expected: list[str]) -> None:
    assert nodes(value) == expected


@pytest.mark.parametrize(
    "odd",
    [
        *(b"unknown", b"_hidden", b"localhost", b"1.2.3", b"1.2.3.4.5", b"01.2.3.4", b"1.2.3.256", b"1.2.3.4/8"),
        *(b"[1.2.3.4]", b"[::1", b"::1]", b"1::2::3", b"fe80::1%eth0", b"1.2.3.4:", b"1.2.3.4:x", b"1.2.3.4:123456"),
        *(b"1.2.3.4 5.6.7.8", b'"1.2.3.4"', b"for=1.2.3.4", b"\xff", b"0x7f000001", b"2130706433", b"-1"),
    ],
)
def test_a_list_ends_before_what_is_no_address(odd: bytes) -> None:
    assert nodes(b"192.0.2.1, " + odd + b", 10.0.0.2, 10.0.0.1") == ["10.0.0.2", "10.0.0.1"]
    assert nodes(odd) == []


def test_only_so_many_hops_are_read_and_those_are_the_nearest() -> None:
    many = [f"10.0.{number // 256}.{number % 256}" for number in range(5000)]

    assert nodes(", ".join(many).encode()) == many[-MAX_HOPS:]
    assert len(read_forwarded(b", ".join(b"for=10.0.0.1" for _ in range(5000)))) == MAX_HOPS
    assert nodes(b"192.0.2.1," + b"," * 100_000) == []


def test_long_lists_are_not_remembered() -> None:
    from meshwright.http1 import hops

    before = hops._known_list.cache_info().currsize
    read_x_forwarded_for(b"192.0.2.1, " * 50)
    assert hops._known_list.cache_info().currsize == before


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"for=192.0.2.1", [Hop("192.0.2.1")]),
        (b"For=192.0.2.1;Proto=HTTPS;hOst=shop", [Hop("192.0.2.1", 0, "https", b"shop")]),
        (b'for="192.0.2.1:4711"', [Hop("192.0.2.1", 4711)]),
        (b'for="[2001:DB8::1]:80";host="shop:8080"', [Hop("2001:db8::1", 80, "", b"shop:8080")]),
        (b'for="192.0.2.1:_port", for=unknown, for=_hidden', [Hop("192.0.2.1"), Hop("unknown"), Hop("_hidden")]),
        (b"for=Unknown;by=_gw", [Hop("unknown")]),
        (b"proto=https;host=shop", [Hop("", 0, "https", b"shop")]),
        (b"for=192.0.2.1 ; proto=http;, for=10.0.0.1;;", [Hop("192.0.2.1", 0, "http"), Hop("10.0.0.1")]),
        (b'for="192.0.2.1";x="a;b\\"c"', [Hop("192.0.2.1")]),
        (b'for="\\1\\92.0.2.1"', [Hop("192.0.2.1")]),
        (b'for=192.0.2.1;proto=gopher;host="a@b"', [Hop("192.0.2.1")]),
        (b"", []),
    ],
)
def test_elements_are_read(value: bytes, expected: list[Hop]) -> None:
    assert list(read_forwarded(value)) == expected


@pytest.mark.parametrize(
    "odd",
    [
        *(
            b"for",
            b"for=",
            b"=192.0.2.9",
            b"for = 192.0.2.9",
            b"for=192.0.2.9;for=192.0.2.8",
            b"for=192.0.2.9 proto=http",
        ),
        *(b'for="', b'for="192.0.2.9', b'for=192.0.2.9"', b'x="\\', b"for=[2001:db8::1]", b"for=2001:db8::1"),
        *(b'for="2001:db8::1]"', b"for=client", b"for=999.0.0.1", b"192.0.2.9", b"\xff=1", b'x="a,b"'),
    ],
)
def test_elements_end_before_what_is_malformed(odd: bytes) -> None:
    assert [hop.node for hop in read_forwarded(b"for=192.0.2.1, " + odd + b", for=10.0.0.1")] == ["10.0.0.1"]


def test_a_quote_on_the_left_hides_nothing_on_the_right() -> None:
    value = b'for="x, for="[2001:db8::1]:80";proto=https, for=10.0.0.1'
    assert [hop.node for hop in read_forwarded(value)] == ["2001:db8::1", "10.0.0.1"]


@pytest.mark.parametrize(
    ("value", "scheme"),
    [(b"https", "https"), (b" HTTP ", "http"), (b"wss", "https"), (b"ws", "http"), (b"https,http", ""), (b"", "")],
)
def test_a_scheme_is_one_of_two(value: bytes, scheme: str) -> None:
    assert read_scheme(value) == scheme


@pytest.mark.parametrize(
    ("value", "host"),
    [(b" Shop:80 ", b"Shop:80"), (b"[::1]", b"[::1]"), (b"a, b", b""), (b"a/b", b""), (b"", b""), (b"\xff", b"")],
)
def test_a_host_is_what_a_host_field_could_be(value: bytes, host: bytes) -> None:
    assert read_host(value) == host


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8::0", "2001:db8::"),
    ],
)
def test_an_address_has_one_normal_form(text: str, address: str) -> None:
    assert normal_address(text) == address


_addresses = st.ip_addresses().map(lambda address: normal_address(str(address)))
_hops = st.builds(
    Hop,
    _addresses | st.sampled_from(["unknown", "_hidden"]),
    st.just(0),
    st.sampled_from(["", "http", "https"]),
    st.sampled_from([b"", b"shop", b"Shop.example:8080", b"[::1]:80"]),
)


@given(st.lists(_hops, max_size=8))
def test_what_is_written_is_read_as_it_was(hops: list[Hop]) -> None:
    value = ", ".join(map(write_forwarded, hops)).encode("ascii")
    assert list(read_forwarded(value)) == hops


@given(st.lists(_addresses, max_size=8), st.sampled_from([",", ", ", " ,\t"]))
def test_a_list_of_addresses_is_read_as_it_was_written(addresses: list[str], comma: str) -> None:
    assert nodes(comma.join(addresses).encode("ascii")) == addresses


_noise = st.text(st.sampled_from('abf0123456789.:;=,"\\[]_ \tforunknownproto'), max_size=60).map(str.encode)


@given(st.binary(max_size=60) | _noise)
def test_noise_is_never_an_error_and_every_address_is_one(value: bytes) -> None:
    for hop in (*read_x_forwarded_for(value), *read_forwarded(value)):
        if hop.is_address:
            assert str(ip_address(hop.node)) == hop.node
        assert 0 <= hop.port <= 65535


@given(st.binary(max_size=40) | _noise)
def test_what_a_stranger_sends_changes_nothing_of_what_the_nearest_proxy_tells(noise: bytes) -> None:
    assert read_x_forwarded_for(noise + b", 192.0.2.1")[-1] == Hop("192.0.2.1")
    assert read_forwarded(noise + b", for=192.0.2.1;proto=https")[-1] == Hop("192.0.2.1", 0, "https")


@pytest.mark.parametrize("filling", [b" ", b" \t", b";", b'"', b"\\", b"a", b"a=b;", b'"\\', b":", b".", b","])
@pytest.mark.parametrize("read", [read_forwarded, read_x_forwarded_for])
def test_what_a_stranger_sends_is_read_in_the_time_of_its_length(read: Callable[[bytes], Hops], filling: bytes) -> None:
    begun = process_time()  # where the time grows with the square of the length, minutes
    for start in (b"for=192.0.2.1;", b'for="', b"192.0.2.1"):
        read(start + filling * (64_000 // len(filling)) + b"!, for=10.0.0.1")
    assert process_time() - begun < 2.0
