from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from meshwright.config import Bind


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:8080", Bind("127.0.0.1", 8080)),
        ("[::1]:80", Bind("::1", 80)),
        ("localhost:0", Bind("localhost", 0)),
        ("gateway.internal:443", Bind("gateway.internal", 443)),
        ("unix:/run/web.sock", Bind(path="/run/web.sock")),
    ],
)
def test_an_address_is_read_and_printed_alike(text: str, bind: Bind) -> None:
    assert Bind.parse(text) == bind
    assert str(bind) == text
    assert Bind.parse(bind) is bind
    assert TypeAdapter(Bind).dump_python(bind, mode="json") == text


@pytest.mark.parametrize(
    "wrong",
    [
        8080,
        None,
        "",
        "8080",
        ":8080",
        "a:",
        "a:65536",
        "a:b",
        "::1:80",
        "[::g]:80",
        "[127.0.0.1]:80",
        "unix:x",
        "a b:80",
    ],
)
def test_what_is_no_address_is_refused_with_examples(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"expected an address such as 127\.0\.0\.1:8080"):
        Bind.parse(wrong)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/x", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("gateway:1", False),
    ],
)
def test_only_loopback_and_unix_sockets_are_local(text: str, local: bool) -> None:
    assert Bind.parse(text).is_local is local


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("a:80", "a:80", True),
        ("a:80", "a:81", False),
        ("a:80", "b:80", False),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("[::]:80", "127.0.0.1:80", True),
        ("a:0", "a:0", False),
        ("unix:/x", "unix:/x", True),
        ("unix:/x", "unix:/y", False),
        ("unix:/x", "a:0", False),
    ],
)
def test_addresses_overlap_when_both_can_not_be_bound(one: str, other: str, overlap: bool) -> None:
    assert Bind.parse(one).overlaps(Bind.parse(other)) is overlap
    assert Bind.parse(other).overlaps(Bind.parse(one)) is overlap


@given(st.text(st.sampled_from("a1:.[]/unix:")))
def test_every_address_reads_back_as_it_prints_and_fits_the_schema(text: str) -> None:
    try:
        bind = Bind.parse(text)
    except ValueError:
        return
    assert Bind.parse(str(bind)) == bind
    assert re.search(TypeAdapter(Bind).json_schema()["pattern"], text)
