from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.http1.target import (
    _USUAL,
    BadTargetError,
    PathRules,
    _normalise_unusual,
    normaliser,
    split_target,
)

normalised = normaliser(PathRules())


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/orders/17", "/orders/17"),
        (b"/a/./b/../c", "/a/c"),
        (b"/a/b/..", "/a/"),
        (b"/a/b/.", "/a/b/"),
        (b"/a/..", "/"),
        (b"/.", "/"),
        (b"/a//../b", "/b"),
        (b"//a//b/", "/a/b/"),
        (b"///", "/"),
        (b"/.hidden/..names/...", "/.hidden/..names/..."),
        (b"/%7Euser/%61", "/~user/a"),
        (b"/a%2fb", "/a%2Fb"),
        (b"/%2e%2E/x%2F..%2f", None),
        (b"/a/%2e%2e/b", "/b"),
        (b"/caf\xc3\xa9", "/caf%C3%A9"),
        (b'/a|b"c\\d', "/a%7Cb%22c%5Cd"),
        (b"/%25%32%65", "/%252e"),
        (b"/a;x=1/b:@!$&'()*+,", "/a;x=1/b:@!$&'()*+,"),
    ],
)
def test_a_path_has_one_normal_form(raw: bytes, path: str | None) -> None:
    if path is None:
        with pytest.raises(BadTargetError):
            normalised(raw)
    else:
        assert normalised(raw) == path


@pytest.mark.parametrize("raw", [b"/%", b"/%2", b"/%zz", b"/a%0g", b"/%00", b"/a/../..", b"/..", b"/../a", b"a", b""])
def test_a_broken_path_is_refused(raw: bytes) -> None:
    with pytest.raises(BadTargetError) as raised:
        normalised(raw)
    assert (raised.value.status, raised.value.code) == (400, "bad_target")


@pytest.mark.parametrize(
    ("rules", "raw", "path"),
    [
        (PathRules(merge_slashes=False), b"//a//b/", "//a//b/"),
        (PathRules(merge_slashes=False), b"/a//../b", "/a/b"),
        (PathRules(encoded_slash="decode"), b"/a%2fb%2F%2Fc", "/a/b/c"),
        (PathRules(encoded_slash="decode"), b"/a%2f..%2fb", "/b"),
        (PathRules(encoded_slash="decode"), b"/a%252fb", "/a%252fb"),
        (PathRules(encoded_slash="decode", merge_slashes=False), b"/a%2f/b", "/a//b"),
        (PathRules(encoded_slash="refuse"), b"/a%2fb", None),
        (PathRules(encoded_slash="refuse"), b"/a%5Cb/c", "/a%5Cb/c"),
        (PathRules(backslash="slash"), b"/a\\b%5c..\\c", "/a/c"),
        (PathRules(backslash="refuse"), b"/a\\b", None),
        (PathRules(backslash="refuse"), b"/a%5cb", None),
        (PathRules(backslash="refuse"), b"/a%2fb", "/a%2Fb"),
    ],
)
def test_a_listener_may_treat_slashes_otherwise(rules: PathRules, raw: bytes, path: str | None) -> None:
    if path is None:
        with pytest.raises(BadTargetError, match="refused by the listener's `path`"):
            normaliser(rules)(raw)
    else:
        assert normaliser(rules)(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        b"/public%2F..%2Fadmin",
        b"/public/..%2fadmin",
        b"/public%2f../admin",
        b"/public\\..\\admin",
        b"/public/..%5cadmin",
        b"/public/..;/admin",
        b"/public/..;x=1/admin",
        b"/public/%2e%2e%3bx/admin",
        b"/a/.;/b",
        b"/a%2f..",
        b"/a%5C%2e",
    ],
)
def test_a_dot_segment_that_only_some_servers_see_is_refused(raw: bytes) -> None:
    with pytest.raises(BadTargetError, match="only some servers see"):
        normalised(raw)


@pytest.mark.parametrize("raw", [b"/a;..", b"/a;x=../b", b"/..a%2Fb", b"/a..%2Fb", b"/a%2F...", b"/.well-known%2Fb"])
def test_dots_that_nobody_takes_for_a_segment_go_on(raw: bytes) -> None:
    assert normalised(raw) == raw.decode()


def test_long_paths_are_normalised_without_being_remembered() -> None:
    normalised(b"/short")
    known = normalised.known
    before = known.cache_info().currsize
    assert normalised(b"/a/../" + b"x" * 5000) == "/" + "x" * 5000
    assert known.cache_info().currsize == before


def test_what_is_remembered_belongs_to_one_set_of_rules() -> None:
    assert normalised(b"/x//y") == "/x/y"
    assert normaliser(PathRules(merge_slashes=False))(b"/x//y") == "/x//y"
    assert normaliser(PathRules()) is normaliser(PathRules())


def test_a_target_is_split_at_its_first_question_mark() -> None:
    assert split_target(b"/a?b=c?d&e=%20") == (b"/a", b"b=c?d&e=%20")
    assert split_target(b"/a?") == (b"/a", b"")


@pytest.mark.parametrize("raw", [b"/a#b", b"/a?b#c", b"/a?b c", b"/a?b\xc3", b"/a?b\r\nx: y", b"/a?\x00"])
def test_a_fragment_or_an_unprintable_query_is_refused(raw: bytes) -> None:
    with pytest.raises(BadTargetError):
        split_target(raw)


_paths = st.lists(
    st.sampled_from(
        [
            *(b"a", b".", b"..", b"", b"%2e", b"%2F", b"..%2f", b"%5c..", b"..\\", b"..;", b"%41"),
            *(b"%c3%a9", b"\xc3\xa9", b"|", b"~", b"%7e", b"%25"),
        ]
    ),
    max_size=8,
).map(lambda segments: b"/" + b"/".join(segments))


_rules = st.builds(
    PathRules,
    merge_slashes=st.booleans(),
    encoded_slash=st.sampled_from(["keep", "refuse", "decode"]),
    backslash=st.sampled_from(["keep", "refuse", "slash"]),
)


@given(_rules, _paths | st.binary(max_size=30).map(lambda tail: b"/" + tail))
def test_normalising_twice_changes_nothing_and_the_result_is_safe_to_send(rules: PathRules, raw: bytes) -> None:
    try:
        path = normaliser(rules)(raw)
    except BadTargetError:
        return
    assert normaliser(rules)(path.encode("ascii")) == path
    assert not (rules.merge_slashes and "//" in path)
    assert "%2F" not in path or rules.encoded_slash == "keep"
    assert "%5C" not in path or rules.backslash == "keep"
    assert path.startswith("/")
    assert path.isascii()
    assert path.isprintable()
    assert not {" ", "?", "#", "\\"} & set(path)
    assert not {".", ".."} & set(path.split("/"))
    assert not {".", ".."} & set(re.split("/|%2F|%5C", path))


@given(st.binary(min_size=1, max_size=30).filter(lambda tail: not {0, 37, 46, 47} & set(tail)))
def test_normalising_changes_the_writing_of_a_segment_and_never_its_meaning(segment: bytes) -> None:
    assert unquote_to_bytes(normalised(b"/" + segment)) == b"/" + segment


@given(
    st.lists(st.sampled_from([b"/", b"a", b".", b"..", b";", b"~", b"%2e", b"%2F", b"\\", b"//", b"\xc3"])).map(
        b"".join
    ),
    st.sampled_from(
        [PathRules(), PathRules(merge_slashes=False), PathRules(encoded_slash="decode", backslash="slash")]
    ),
)
def test_what_is_taken_as_it_is_needs_nothing_done(path: bytes, rules: PathRules) -> None:
    raw = b"/" + path
    if _USUAL.fullmatch(raw) is not None:
        assert _normalise_unusual(rules, raw) == raw.decode("ascii")


@pytest.mark.parametrize("raw", [b"/", b"/orders/17", b"/a/", b"/a;x=1/b:@!$&'()*+,", b"/a.b/c-d_e~f"])
def test_usual_paths_are_taken_as_they_are(raw: bytes) -> None:
    assert _USUAL.fullmatch(raw) is not None
