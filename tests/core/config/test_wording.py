from __future__ import annotations

from typing import get_args

import pytest
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from meshwright.config.wording import WORDED, author_sentence, expected

IN_AUTHORS_WORDS = {"value_error", "assertion_error"}


def error(kind: str, **context: object) -> ErrorDetails:
    return {"type": kind, "loc": (), "msg": "Input should be right", "input": None, "ctx": context}


def test_every_error_of_pydantic_has_words() -> None:
    assert set(get_args(ErrorType)) - WORDED == IN_AUTHORS_WORDS
    assert set(get_args(ErrorType)) >= WORDED


@pytest.mark.parametrize("kind", sorted(WORDED))
def test_no_words_are_taken_from_pydantic(kind: str) -> None:
    words = expected(error(kind), [])

    assert "nput" not in words
    assert "{" not in words


@pytest.mark.parametrize(
    ("kind", "context", "words"),
    [
        ("literal_error", {"expected": "'fast'"}, "fast"),
        ("enum", {"expected": "'a', 'b' or 'c'"}, "one of a, b or c"),
        ("too_short", {"min_length": 1}, "at least one entry"),
        ("too_short", {"min_length": 2}, "2 entries or more"),
        ("string_too_short", {"min_length": 1}, "a text that is not empty"),
        ("string_pattern_mismatch", {"pattern": "^a$"}, "a text that matches ^a$"),
        ("multiple_of", {"multiple_of": 5.0}, "a multiple of 5"),
        ("greater_than", {"gt": 0}, "a value above 0"),
        ("url_scheme", {"expected_schemes": "'http' or 'https'"}, "a URL that starts with http or https"),
    ],
)
def test_words_hold_what_the_error_knows(kind: str, context: dict[str, object], words: str) -> None:
    assert expected(error(kind, **context), []) == words


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("expected a b; got 5", ("a b", "5", "")),
        ("url: expected http://host; got 'x'", ("http://host", "'x'", "")),
        ("burst is above rate", ("a valid value", "", "burst is above rate")),
        ("expected a\nb; got c\nd", ("a\nb", "c\nd", "")),
    ],
)
def test_the_words_of_a_validator_are_taken_apart(text: str, sentence: tuple[str, str, str]) -> None:
    assert author_sentence(error("value_error", error=ValueError(text))) == sentence
