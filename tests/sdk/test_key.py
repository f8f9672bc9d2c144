from __future__ import annotations

import pytest

from meshwright_sdk import Key
from meshwright_sdk.key import LONGEST_KEPT
from meshwright_sdk.testing import make_request


def test_a_key_of_usual_length_is_kept_as_it_is() -> None:
    request = make_request(headers={"x-user": "u" * LONGEST_KEPT})

    assert Key("header:x-user").kept_of(request) == "u" * LONGEST_KEPT
    assert Key("header:x-other").kept_of(request) == ""


@pytest.mark.parametrize("character", ["u", "\xe9", "\ud800"])
def test_a_long_key_is_kept_as_a_digest_that_tells_it_apart(character: str) -> None:
    key = Key(f"python: {character * 500!r} + request.path")
    one, again, other = (key.kept_of(make_request(url=path)) for path in ("/a", "/a", "/b"))

    assert one == again != other
    assert len(one) == len(other) <= LONGEST_KEPT


@pytest.mark.parametrize(
    ("text", "hint"),
    [("user", ""), ("clinet", "client"), ("header", "header:NAME"), ("heder:x-user", "header:NAME"), ("", "")],
)
def test_what_is_no_key_is_told_what_one_is_without_braces(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=r"^expected client, .*, header:NAME, .*, several \{of:them\} or") as raised:
        Key(text)

    did_you_mean = f" (did you mean {hint}?)" if hint else ""
    assert str(raised.value).endswith(f" or python: EXPRESSION{did_you_mean}; got {text!r}")


def test_a_placeholder_that_does_not_exist_is_told_with_its_braces() -> None:
    with pytest.raises(ValueError, match=r"in place of \{user\}"):
        Key("{client}/{user}")
