from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.http1.grammar import (
    GrammarError,
    VersionError,
    after_blank_lines,
    read_fields,
    read_request_line,
    read_status_line,
    refuse_misplaced,
)

REQUEST_LINES = [
    (b"GET / HTTP/1.1", ("GET", b"/", "1.1")),
    (b"POST /a?b=c%20d HTTP/1.0", ("POST", b"/a?b=c%20d", "1.0")),
    (b"OPTIONS * HTTP/1.1", ("OPTIONS", b"*", "1.1")),
    (b"GET http://a/b HTTP/1.1", ("GET", b"http://a/b", "1.1")),
    (b"GET !~ HTTP/1.1", ("GET", b"!~", "1.1")),
    (b"M-SEARCH / HTTP/1.1", ("M-SEARCH", b"/", "1.1")),
    (b"VERSION_CONTROL / HTTP/1.1", ("VERSION_CONTROL", b"/", "1.1")),
]


@pytest.mark.parametrize(("line", "read"), REQUEST_LINES)
def test_a_request_line_is_a_method_a_target_and_a_version(line: bytes, read: tuple[str, bytes, str]) -> None:
    assert read_request_line(line) == read


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"GET",
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET /\t HTTP/1.1",
        b"GET  HTTP/1.1",
        b" / HTTP/1.1",
        b"get / HTTP/1.1",
        b"Get / HTTP/1.1",
        b"G3T / HTTP/1.1",
        b"GET- / HTTP/1.1",
        b"-GET / HTTP/1.1",
        b"A--B / HTTP/1.1",
        b"G\xc3\x89T / HTTP/1.1",
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /\r HTTP/1.1",
        b"GET /\n HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/1",
        b"GET / HTTP/1.1.",
        b"GET / HTTP/01.1",
        b"GET / HTTP/1.10",
        b"GET / HTTP/1.1\r",
        b"GET / HTTP/1.1\n",
        b"GET / HTTPS/1.1",
        b"GET / ICY/1.1",
        b"GET / HTTP/\xb2.1",
    ],
)
def test_what_is_no_request_line_is_refused(line: bytes) -> None:
    with pytest.raises(GrammarError) as raised:
        read_request_line(line)
    assert not isinstance(raised.value, VersionError)


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"3.0", b"9.9"])
def test_another_version_is_told_from_what_is_none(version: bytes) -> None:
    with pytest.raises(VersionError, match=version.decode()):
        read_request_line(b"GET / HTTP/" + version)


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (b"HTTP/1.1 200 OK", ("1.1", 200)),
        (b"HTTP/1.0 404 Not Found", ("1.0", 404)),
        (b"HTTP/1.1 204 ", ("1.1", 204)),
        (b"HTTP/1.1 999", ("1.1", 999)),
        (b"HTTP/1.1 100 \tgo on\xe9 ~", ("1.1", 100)),
    ],
)
def test_a_status_line_is_a_version_and_a_code(line: bytes, read: tuple[str, int]) -> None:
    assert read_status_line(line) == read


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"HTTP/1.1",
        b"HTTP/1.1 20",
        b"HTTP/1.1 2000",
        b"HTTP/1.1 099 Low",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/2.0 200 OK",
        b"http/1.1 200 OK",
        b" HTTP/1.1 200 OK",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 O\rK",
        b"HTTP/1.1 200 OK\n",
        b"HTTP/1.1 200 \x7f",
        b"ICY 200 OK",
    ],
)
def test_what_is_no_status_line_is_refused(line: bytes) -> None:
    with pytest.raises(GrammarError):
        read_status_line(line)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"Host: a", (b"host", b"a")),
        (b"x:", (b"x", b"")),
        (b"x: ", (b"x", b"")),
        (b"x:a", (b"x", b"a")),
        (b"X-Y: \t a b\t c \t", (b"x-y", b"a b\t c")),
        (b"x: a: b", (b"x", b"a: b")),
        (b"x: \x80\xff", (b"x", b"\x80\xff")),
        (b"!#$%&'*+-.^_`|~09aZ: 1", (b"!#$%&'*+-.^_`|~09az", b"1")),
        (b"x: " + b"a" * 1000, (b"x", b"a" * 1000)),
    ],
)
def test_a_field_is_a_name_in_small_letters_and_a_value_without_outer_space(
    line: bytes, field: tuple[bytes, bytes]
) -> None:
    assert read_fields([line]) == [field]
    assert read_fields([line, line]) == [field, field]


BAD_FIELDS = [
    b"",
    b"x",
    b": a",
    b"x : a",
    b"x\t: a",
    b" x: a",
    b"\tx: a",
    b"x y: a",
    b"x(y): a",
    b'"x": a',
    b"\xc3\xa9: a",
    b"x\x00: a",
    b"x: a\x00",
    b"x: a\x01b",
    b"x: a\x7f",
    b"x: a\x0bb",
    b"x: a\rb",
    b"x: a\nb",
    b"x: a\r",
    b"x: \r",
    b"x\r: a",
]


@pytest.mark.parametrize("line", BAD_FIELDS)
@pytest.mark.parametrize("padding", [b"", b"a" * 200], ids=["short", "long"])
def test_what_is_no_field_is_refused_however_long_and_however_often_it_comes(line: bytes, padding: bytes) -> None:
    for _ in range(2):
        with pytest.raises(GrammarError):
            read_fields([b"good: a", line + padding if b":" in line else padding + line])


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"", b""),
        (b"\r\n", b""),
        (b"\r\n\r\n\r\nGET", b"GET"),
        (b"\r\nGET\r\n", b"GET\r\n"),
        (b"\r\n\rG", b"\rG"),
        (b"\nGET", b"\nGET"),
    ],
)
def test_blank_lines_before_a_request_are_passed_over(data: bytes, rest: bytes) -> None:
    assert after_blank_lines(data) == rest


@pytest.mark.parametrize("begun", [b"", b"G", b"\r", b"GET / HTTP/1.1\r", b"a\r\nb: \xff\t\r\n", b"a\r\nb\r\n\r"])
def test_what_may_become_a_head_is_waited_for(begun: bytes) -> None:
    refuse_misplaced(begun)


@pytest.mark.parametrize(
    "begun", [b"\n", b"a\n", b"\ra", b"a\rb", b"\r\r", b"\r\n\n", b"a\r\n\r\r", b"\0", b"a\x1f", b"a\x7fb", b"\x16\x03"]
)
def test_what_no_head_can_hold_is_not_waited_for(begun: bytes) -> None:
    with pytest.raises(GrammarError):
        refuse_misplaced(begun)


BYTES = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b":", b" ", b"\0", b"\t", b"\x80", b"x: y\r\n"]))


@given(BYTES)
def test_what_is_refused_before_its_end_would_be_refused_at_its_end_too(parts: list[bytes]) -> None:
    data = b"".join(parts)
    begun = data.partition(b"\r\n\r\n")[0]
    try:
        refuse_misplaced(begun)
    except GrammarError:
        with pytest.raises(GrammarError):
            read_fields(begun.split(b"\r\n"))


@given(st.binary(max_size=60))
def test_whatever_comes_a_line_is_read_or_refused(data: bytes) -> None:
    for read in (read_request_line, read_status_line, lambda line: read_fields([line])):
        try:
            read(data)
        except GrammarError as error:
            assert len(str(error)) < 500  # noqa: PT017 - that none of another kind is raised is what counts
