"""Tests of the option type `Regex`."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from meshwright_sdk import Regex

OPTION: TypeAdapter[str] = TypeAdapter(Regex)


def test_what_compiles_stays_as_it_is_written() -> None:
    assert OPTION.validate_python(r"/orders/\d+") == r"/orders/\d+"


@pytest.mark.parametrize("text", ["(", "a{99999999999}", r"(?P<a>.)(?P<a>.)"])
def test_what_does_not_compile_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValidationError, match=r"expected a regular expression \(.+\); got '"):
        OPTION.validate_python(text)


def test_editors_know_that_it_is_one() -> None:
    assert OPTION.json_schema() == {"type": "string", "format": "regex"}
