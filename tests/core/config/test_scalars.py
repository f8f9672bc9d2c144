from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.config.scalars import resolve


@pytest.mark.parametrize("text", ["on", "off", "yes", "no", "y", "n", "On", "NO"])
def test_words_that_were_truth_values_in_yaml_1_1_are_texts(text: str) -> None:
    assert resolve(text) == text


@pytest.mark.parametrize("text", ["1:30", "2024-01-01", "2024-01-01T10:00:00Z", "1_000", "0b11", "0o8", "1e", "+", "."])
def test_what_only_looks_like_a_number_is_a_text(text: str) -> None:
    assert resolve(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-12", -12),
        ("0777", 777),
        ("0o17", 15),
        ("0xFf", 255),
        ("1.10", 1.1),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
    ],
)
def test_the_core_schema_decides_what_a_text_is(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(resolve(".nan"))  # type: ignore[arg-type]


def test_digits_without_end_stay_a_text() -> None:
    assert resolve("9" * 5000) == "9" * 5000


@given(st.integers(min_value=-(10**50), max_value=10**50))
def test_every_whole_number_is_read_as_it_is_written(number: int) -> None:
    assert resolve(str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_read_as_it_is_written(number: float) -> None:
    assert resolve(repr(number)) == number
