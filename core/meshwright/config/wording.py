"""What was expected, in words, for each kind of error that Pydantic knows; where it happened is not known here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from meshwright.config.fields import Allowed, describe_number
from meshwright.config.problems import listed

REQUIRED = "a value, as this key is required"
_SENTENCE = re.compile(r"(?:[^:;]{1,40}: )?expected (?P<expected>.+?); got (?P<got>.*)", re.DOTALL)

# The braces are filled from the error's context.
_WORDS = {
    "no_such_attribute": "the attribute {attribute}",
    "json_invalid": "well-formed JSON",
    "json_type": "JSON as a text",
    "needs_python_object": "a value made in Python",
    "recursion_loop": "a value that does not contain itself",
    "recursion_depth_exceeded": "a value that is less deep",
    "missing": REQUIRED,
    "frozen_field": "no change of a fixed value",
    "frozen_instance": "no change of a fixed value",
    "extra_forbidden": "no such key",
    "invalid_key": "a text as key",
    "get_attribute_error": "a readable attribute",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "dataclass_exact_type": "a mapping",
    "named_tuple_type": "a list",
    "default_factory_not_called": "a value, as the default depends on a wrong one",
    "none_required": "nothing",
    "greater_than": "a value above {gt}",
    "greater_than_equal": "a value of {ge} or more",
    "less_than": "a value below {lt}",
    "less_than_equal": "a value of {le} or less",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "too_short": "{min_length} entries or more",
    "too_long": "{max_length} entries at most",
    "iterable_type": "a list",
    "iteration_error": "a readable list",
    "string_type": "a text",
    "string_unicode": "a text",
    "string_too_short": "a text of {min_length} or more characters",
    "string_too_long": "a text of {max_length} characters at most",
    "string_pattern_mismatch": "a text that matches {pattern}",
    "string_not_ascii": "a text in ASCII",
    "dict_type": "a mapping",
    "frozen_dict_type": "a mapping",
    "ordered_dict_type": "a mapping",
    "counter_type": "a mapping of counts",
    "mapping_type": "a mapping",
    "list_type": "a list",
    "deque_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "set_item_not_hashable": "a text, number or truth value",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of bearable length",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bytes_type": "a text",
    "bytes_too_short": "a text of {min_length} or more bytes",
    "bytes_too_long": "a text of {max_length} bytes at most",
    "bytes_invalid_encoding": "a text in the encoding {encoding}",
    "missing_sentinel_error": "nothing",
    "ellipsis_error": "nothing",
    "date_type": "a date such as 2024-01-31",
    "date_parsing": "a date such as 2024-01-31",
    "date_from_datetime_parsing": "a date such as 2024-01-31",
    "date_from_datetime_inexact": "a date without a time",
    "date_past": "a date in the past",
    "date_future": "a date in the future",
    "time_type": "a time of day such as 14:30:00",
    "time_parsing": "a time of day such as 14:30:00",
    "datetime_type": "a date and time such as 2024-01-31T14:30:00Z",
    "datetime_parsing": "a date and time such as 2024-01-31T14:30:00Z",
    "datetime_object_invalid": "a date and time such as 2024-01-31T14:30:00Z",
    "datetime_from_date_parsing": "a date and time such as 2024-01-31T14:30:00Z",
    "datetime_past": "a time in the past",
    "datetime_future": "a time in the future",
    "timezone_naive": "a time without an offset",
    "timezone_aware": "a time with its offset, such as 2024-01-31T14:30:00Z",
    "timezone_offset": "a time with the offset of {tz_expected} seconds",
    "time_delta_type": "a span of time such as PT5S",
    "time_delta_parsing": "a span of time such as PT5S",
    "is_instance_of": "a value of the type {class}",
    "is_subclass_of": "a class of the type {class}",
    "callable_type": "a function",
    "union_tag_invalid": "one of {expected_tags} in {discriminator}",
    "union_tag_not_found": "a value that says its kind in {discriminator}",
    "arguments_type": "a list or a mapping",
    "missing_argument": REQUIRED,
    "missing_keyword_only_argument": REQUIRED,
    "missing_positional_only_argument": REQUIRED,
    "unexpected_keyword_argument": "no such key",
    "unexpected_positional_argument": "a shorter list",
    "multiple_argument_values": "each key once",
    "url_type": "a URL",
    "url_parsing": "a URL",
    "url_syntax_violation": "a URL",
    "url_too_long": "a URL of {max_length} characters at most",
    "url_scheme": "a URL that starts with {expected_schemes}",
    "uuid_type": "a UUID",
    "uuid_parsing": "a UUID",
    "uuid_version": "a UUID of version {expected_version}",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "decimal_max_digits": "a number of {max_digits} digits at most",
    "decimal_max_places": "a number of {decimal_places} decimal places at most",
    "decimal_whole_digits": "a number of {whole_digits} digits before the point at most",
    "fraction_type": "a fraction such as 1/3",
    "fraction_parsing": "a fraction such as 1/3",
    "complex_type": "a complex number",
    "complex_str_parsing": "a complex number",
}
_CHOICES = ("literal_error", "enum")

WORDED = frozenset((*_WORDS, *_CHOICES))
"""The kinds of error that have words here."""

_OF_NUMBERS = ("int_", "float_", "greater_than", "less_than", "finite_number")


def expected(error: ErrorDetails, allowed: Sequence[Allowed]) -> str:
    """Return what the error expected; the bounds of a number are told with its type, whichever was hurt."""
    kind, context = error["type"], error.get("ctx", {})
    if kind.startswith(_OF_NUMBERS):
        number = describe_number(allowed)
        if number is not None:
            return number
    if kind in _CHOICES:
        return _one_of(str(context.get("expected", "")))
    if kind in ("too_short", "string_too_short") and context.get("min_length") == 1:
        return "a text that is not empty" if kind == "string_too_short" else "at least one entry"
    words = _WORDS.get(kind)
    return words.format_map(_Context(context)) if words else author_sentence(error)[0]


def author_sentence(error: ErrorDetails) -> tuple[str, str, str]:
    """Return expected, got and hint of an error that a validator raised in its author's own words.

    `expected …; got …` is taken apart; any other text becomes the hint.
    """
    text = str(error.get("ctx", {}).get("error", "") or error["msg"])
    sentence = _SENTENCE.fullmatch(text)
    return (sentence["expected"], sentence["got"], "") if sentence else ("a valid value", "", text)


def is_in_authors_words(error: ErrorDetails) -> bool:
    """Return whether the text of the error was written by whoever wrote the validator, and may hold the value."""
    return error["type"] not in WORDED


def _one_of(values: str) -> str:
    """Return the values of a Literal or Enum as a sentence has them; they come as `'a', 'b' or 'c'`."""
    names = [name.strip("'") for name in re.split(r", | or ", values)]
    return f"one of {listed(names)}" if len(names) > 1 else names[0]


class _Context(dict[str, Any]):
    """The context of an error; what it does not hold stands as a gap and is no second error."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        super().__init__({name: self._text(value) for name, value in context.items()})

    def __missing__(self, name: str) -> str:
        return "…"

    @staticmethod
    def _text(value: Any) -> str:
        return f"{value:g}" if type(value) is float else str(value).replace("'", "")
