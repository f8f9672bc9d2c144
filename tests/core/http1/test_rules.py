from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.http1.rules import (
    STATUS_LINES,
    Head,
    chunk,
    has_no_body,
    host_name,
    last_chunk,
    read_head,
    write_message,
)
from meshwright_sdk import DownstreamError, MeshwrightError, ProtocolError


def read(*fields: tuple[bytes, bytes], error: type[MeshwrightError] = DownstreamError) -> Head:
    return read_head(list(fields), error)


def test_fields_that_concern_nobody_here_go_on_as_they_are_in_their_order() -> None:
    fields = [(b"b", b"1"), (b"a", b"2"), (b"b", b"3"), (b"cookie", b"x=y")]
    head = read(*fields)

    assert head.fields == fields
    assert (head.length, head.chunked, head.options, head.upgrade, head.host) == (None, False, frozenset(), b"", None)


def test_each_hop_by_hop_field_ends_here() -> None:
    names = (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"http2-settings")
    for name in names:
        assert read((name, b"x"), (b"a", b"1")).fields == [(b"a", b"1")]


def test_fields_that_connection_names_end_here_whatever_their_case_and_place() -> None:
    head = read(
        (b"x-a", b"1"), (b"connection", b"close, X-A ,"), (b"x-b", b"2"), (b"connection", b"\tx-b"), (b"c", b"3")
    )

    assert head.fields == [(b"c", b"3")]
    assert head.options == {b"close", b"x-a", b"x-b"}


@pytest.mark.parametrize("name", [b"host", b"content-length", b"content-type", b"authorization", b"cookie"])
def test_connection_cannot_strip_what_the_request_means(name: bytes) -> None:
    assert read((b"connection", name), (name, b"5")).fields == [(name, b"5")]


def test_a_length_is_one_whole_number() -> None:
    assert read((b"content-length", b"0")).length == 0
    assert read((b"content-length", b"0012")).length == 12


@pytest.mark.parametrize("value", [b"", b"+5", b"-5", b"5 5", b"5,5", b"0x5", b"5_0", b"5.0", b"\xb2", b"1" * 19])
def test_an_odd_length_is_refused(value: bytes) -> None:
    with pytest.raises(DownstreamError, match="content-length: expected one whole number"):
        read((b"content-length", value))


def test_two_lengths_are_refused_even_when_they_are_equal() -> None:
    with pytest.raises(DownstreamError, match="several"):
        read((b"content-length", b"5"), (b"content-length", b"5"))


def test_chunked_is_the_only_coding() -> None:
    assert read((b"transfer-encoding", b" Chunked\t")).chunked


@pytest.mark.parametrize("value", [b"gzip", b"gzip, chunked", b"chunked, chunked", b",chunked", b"chunked;q=1", b""])
def test_another_coding_is_not_implemented(value: bytes) -> None:
    with pytest.raises(DownstreamError) as raised:
        read((b"transfer-encoding", value))
    assert raised.value.status == 400


def test_another_coding_of_a_response_is_the_upstreams_fault() -> None:
    with pytest.raises(ProtocolError) as raised:
        read((b"transfer-encoding", b"gzip"), error=ProtocolError)
    assert raised.value.status == 502


@pytest.mark.parametrize("error", [DownstreamError, ProtocolError])
def test_length_and_coding_together_are_refused_in_either_order(error: type[MeshwrightError]) -> None:
    length, coding = (b"content-length", b"5"), (b"transfer-encoding", b"chunked")
    for fields in ((length, coding), (coding, length)):
        with pytest.raises(error, match="got both"):
            read(*fields, error=error)


def test_a_second_coding_field_is_refused() -> None:
    with pytest.raises(DownstreamError):
        read((b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked"))


def test_a_second_host_is_refused_even_when_it_is_equal() -> None:
    with pytest.raises(DownstreamError, match="host: expected one field"):
        read((b"host", b"a"), (b"host", b"a"))


def test_host_is_kept_and_known() -> None:
    head = read((b"host", b"Shop:80"))
    assert (head.host, head.fields) == (b"Shop:80", [(b"host", b"Shop:80")])


@pytest.mark.parametrize(
    "name", [b"forwarded", b"x-forwarded-for", b"x_forwarded-for", b"x_forwarded_for", b"x_real_ip"]
)
def test_a_field_that_tells_the_way_is_taken_note_of_however_its_name_is_spelt(name: bytes) -> None:
    assert read((b"a", b"1"), (name, b"x")).tells_way
    assert not read((b"a", b"1"), (b"via", b"x")).tells_way


def test_an_expectation_is_taken_note_of_and_ends_here() -> None:
    head = read((b"expect", b"100-Continue"))
    assert (head.expects_continue, head.fields) == (True, [])


def test_an_unknown_expectation_fails() -> None:
    with pytest.raises(DownstreamError) as raised:
        read((b"expect", b"a miracle"))
    assert raised.value.status == 417


def test_an_upstreams_expectation_means_nothing() -> None:
    head = read((b"expect", b"a miracle"), error=ProtocolError)
    assert (head.expects_continue, head.fields) == (False, [])


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"Shop.Example.com", "shop.example.com"),
        (b"shop:8080", "shop"),
        (b"shop:", "shop"),
        (b"[2001:DB8::1]:80", "[2001:db8::1]"),
        (b"10.0.0.1", "10.0.0.1"),
        (b"[2001:db8::1]", "[2001:db8::1]"),
        (b"[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]"),
        (b"a_b", "a_b"),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
        (b"shop:1", "shop"),
        (b"shop:65535", "shop"),
        (b"-a-.0", "-a-.0"),
    ],
)
def test_a_host_is_its_lower_case_name(value: bytes, name: str) -> None:
    assert host_name(value) == name


@pytest.mark.parametrize(
    "value",
    [
        b"a b",
        b"a/b",
        b"user@a",
        b"a:b",
        b"a:65536",
        b"a:123456",
        b"a:80:80",
        b"[::1",
        b"::1",
        b"[g]",
        b"a\xff",
        b"a?b",
        b"*.a",
        b"*",
        b"",
        b":80",
        b".",
        b".a",
        b"a..b",
        b"a..",
        b"a.:b",
        b"a,b",
        b"a, b",
        b"a:80,b",
        b"a:0",
        b"a:-1",
        b"a:+1",
        b"a:8 0",
        b"a%41",
        b"a;b",
        b"a'b",
        b"a(b)",
        b"a=b",
        b"b\xc3\xbccher",
        b"a\tb",
        b"a\\b",
        b"[]",
        b"[:::]",
        b"[1:2]",
        b"[fe80::1%25eth0]",
        b"[::1]a",
        b"[10.0.0.1]",
        b"http://a",
    ],
)
def test_an_odd_host_is_refused(value: bytes) -> None:
    with pytest.raises(DownstreamError, match="host: expected a name"):
        host_name(value)


@pytest.mark.parametrize("value", [b"secret.example.com.", b"Secret.Example.Com.:8080"])
def test_the_last_dot_of_a_name_leads_around_no_route(value: bytes) -> None:
    assert host_name(value) == "secret.example.com"


def test_a_host_longer_than_any_name_is_refused_and_not_remembered() -> None:
    before = host_name.cache_info().currsize
    with pytest.raises(DownstreamError):
        host_name(b"a" * 1000)
    assert host_name.cache_info().currsize == before


def test_lists_of_any_length_are_read_without_being_remembered() -> None:
    many = b", ".join(b"x-%d" % number for number in range(2000))
    head = read((b"connection", many), (b"x-1999", b"1"), (b"y", b"2"))
    assert head.fields == [(b"y", b"2")]


def test_the_framing_is_never_written_from_the_fields() -> None:
    fields = [(b"connection", b"x"), (b"a", b"1"), (b"content-length", b"9"), (b"transfer-encoding", b"x"), (b"b", b"")]
    assert write_message(b"x", fields) == b"x\r\na: 1\r\nb: \r\n\r\n"
    assert write_message(b"x", [], (b"content-length: 2",), b"ok") == b"x\r\ncontent-length: 2\r\n\r\nok"


def test_every_status_has_a_line() -> None:
    assert STATUS_LINES[404] == b"HTTP/1.1 404 Not Found"
    assert STATUS_LINES[599] == b"HTTP/1.1 599 Error"


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [("GET", 200, False), ("HEAD", 200, True), ("GET", 204, True), ("GET", 304, True), ("GET", 101, True)],
)
def test_some_responses_never_have_content(method: str, status: int, expected: bool) -> None:
    assert has_no_body(method, status) is expected


@given(st.binary(min_size=1, max_size=300))
def test_a_chunk_says_its_length(data: bytes) -> None:
    size, _, rest = chunk(data).partition(b"\r\n")
    assert int(size, 16) == len(data)
    assert rest == data + b"\r\n"
    assert last_chunk([]) == b"0\r\n\r\n"


_names = st.sampled_from([b"a", b"b", b"host", b"connection", b"te", b"upgrade", b"cookie", b"trailer", b"keep-alive"])
_values = st.sampled_from([b"a", b"b, te", b"close", b"keep-alive, a", b"host", b"x, y", b""])


@given(st.lists(st.tuples(_names, _values), max_size=8))
def test_what_goes_on_is_always_a_part_of_what_came_in_its_order(fields: list[tuple[bytes, bytes]]) -> None:
    if sum(name == b"host" for name, _ in fields) > 1:
        return
    head = read(*fields)
    kept = iter(fields)

    assert all(field in kept for field in head.fields)
    gone = {b"connection", b"te", b"upgrade", b"trailer", b"keep-alive"} | (head.options - {b"host", b"cookie"})
    assert [field for field in fields if field[0] not in gone] == head.fields
