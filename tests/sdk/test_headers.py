from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright_sdk import Headers

NAMES = st.sampled_from(["a", "B", "x-Tenant", "Set-Cookie"])
VALUES = st.text("abc é\t;=", max_size=8)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


def test_names_compare_without_case_and_are_kept_in_lower_case() -> None:
    headers = Headers({"Content-Type": "text/html"})

    assert headers["CONTENT-TYPE"] == "text/html"
    assert "content-type" in headers
    assert headers.raw == [(b"content-type", b"text/html")]


def test_order_and_duplicates_are_kept() -> None:
    headers = Headers([("B", "1"), ("a", "2"), ("b", "3")])

    assert headers.multi_items() == [("b", "1"), ("a", "2"), ("b", "3")]
    assert (headers["b"], headers.getlist("B")) == ("1", ["1", "3"])
    assert (list(headers), len(headers)) == (["b", "a"], 2)


def test_setting_replaces_every_field_of_the_name_in_the_place_of_the_first() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")])
    headers["A"] = "5"
    headers["d"] = "6"

    assert headers.multi_items() == [("a", "5"), ("b", "2"), ("c", "4"), ("d", "6")]


def test_adding_keeps_what_is_there() -> None:
    headers = Headers({"set-cookie": "a=1"})
    headers.add("Set-Cookie", "b=2")

    assert headers.getlist("set-cookie") == ["a=1", "b=2"]


def test_deleting_removes_every_field_of_the_name() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("A", "3")])
    del headers["a"]

    assert headers.raw == [(b"b", b"2")]
    with pytest.raises(KeyError):
        del headers["a"]


def test_what_is_not_there_is_none_or_a_key_error() -> None:
    headers = Headers()

    assert (headers.get("a"), headers.get_bytes(b"a"), headers.getlist("a"), "a" in headers) == (None, None, [], False)
    with pytest.raises(KeyError, match="a"):
        headers["a"]


def test_removing_takes_several_names_and_says_whether_there_was_one() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("c", "3")])

    assert (headers.remove(b"a", b"c", b"x"), headers.remove(b"a")) == (True, False)
    assert headers.raw == [(b"b", b"2")]


def test_removing_keeps_the_list_that_others_hold() -> None:
    raw = [(b"a", b"1"), (b"b", b"2")]
    headers = Headers.from_raw(raw)
    headers.remove(b"a")

    assert headers.raw is raw
    assert raw == [(b"b", b"2")]


def test_a_copy_is_independent() -> None:
    headers = Headers({"a": "1"})
    copy = headers.copy()
    copy["a"] = "2"

    assert (headers["a"], copy["a"]) == ("1", "2")


@pytest.mark.parametrize("value", ["a\r\nset-cookie: x", "a\nb", "a\x00b", "\x7f", "\x1b[0m"])
@pytest.mark.parametrize("write", [Headers.add, Headers.__setitem__])
def test_no_value_can_start_another_header(value: str, write: Callable[[Headers, str, str], None]) -> None:
    with pytest.raises(ValueError, match="header value: expected no control characters; got "):
        write(Headers(), "a", value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "é", "(a)", "a,b"])
def test_a_name_is_a_token(name: str) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"header name: expected a token (RFC 9110, section 5.1); got {name!r}")
    ):
        Headers({name: "1"})


def test_a_value_is_latin_1_and_stripped_of_outer_white_space() -> None:
    headers = Headers({"a": " \tcafé\tau lait "})

    assert headers.raw == [(b"a", b"caf\xe9\tau lait")]
    assert headers["a"] == "café\tau lait"
    with pytest.raises(ValueError, match=r"expected characters up to U\+00FF; got '€'"):
        headers["a"] = "€"


def test_headers_are_equal_when_their_fields_are() -> None:
    assert Headers({"A": "1"}) == Headers.from_raw([(b"a", b"1")])
    assert Headers([("a", "1"), ("b", "2")]) != Headers([("b", "2"), ("a", "1")])
    assert repr(Headers({"A": "1"})) == "Headers([('a', '1')])"


@given(FIELDS, NAMES, VALUES)
def test_the_view_is_a_mapping_of_first_values(fields: list[tuple[str, str]], name: str, value: str) -> None:
    headers = Headers(fields)
    model: dict[str, str] = {}
    for field, text in fields:
        model.setdefault(field.lower(), text.strip(" \t"))

    assert dict(headers) == model
    headers[name] = value
    model[name.lower()] = value.strip(" \t")
    assert dict(headers) == model
    assert headers.getlist(name) == [value.strip(" \t")]
    assert headers.pop(name) == value.strip(" \t")
    assert name not in headers
