from __future__ import annotations

from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright_plugins.filters.cache.directives import MOST_S, parse, parse_date, seconds


@pytest.mark.parametrize(
    ("value", "directives"),
    [
        (b"", {}),
        (b"max-age=60", {"max-age": "60"}),
        (b"Max-Age = 60 , PUBLIC", {"max-age": "60", "public": ""}),
        (b'private="a, b", max-age="60"', {"private": "a, b", "max-age": "60"}),
        (b'x="a\\"b,c", no-store', {"x": 'a"b,c', "no-store": ""}),
        (b'x="a, no-store', {"x": '"a, no-store'}),
        (b"max-age=1, max-age=2", {"max-age": "1"}),
        (b", ,no-cache,,", {"no-cache": ""}),
        (b"=5", {}),
        (b"\xff\xfe", {"\xff\xfe": ""}),
    ],
)
def test_directives_are_read_as_the_rfc_writes_them(value: bytes, directives: dict[str, str]) -> None:
    assert dict(parse(value)) == directives


@given(st.binary(max_size=200))
def test_nothing_that_a_field_may_hold_makes_it_fail(value: bytes) -> None:
    parse(value)
    parse_date(value)


@pytest.mark.parametrize("value", [b'"' * 20_000, b'a="' + b"\\" * 20_000, b'x="a",' * 5_000, b" \t" * 20_000 + b'"'])
def test_a_long_field_takes_no_long_time(value: bytes) -> None:
    start = thread_time()
    parse(value)

    assert thread_time() - start < 0.5


@pytest.mark.parametrize(
    ("argument", "expected"),
    [("60", 60), ("0", 0), ("", 0), ("-1", 0), ("1.5", 0), ("x", 0), ("²", 0), ("9" * 500, MOST_S)],
)
def test_a_time_that_makes_no_sense_is_none_at_all(argument: str, expected: int) -> None:
    assert seconds(argument) == expected


@pytest.mark.parametrize(
    "value",
    [b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"],
)
def test_a_date_is_read_in_each_of_its_three_forms(value: bytes) -> None:
    assert parse_date(value) == 784111777


@pytest.mark.parametrize("value", [b"", b"0", b"-1", b"tomorrow", b"Sun, 99 Foo 1994 08:49:37 GMT"])
def test_what_is_no_date_is_none(value: bytes) -> None:
    assert parse_date(value) is None
