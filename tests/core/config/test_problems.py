from __future__ import annotations

import pytest

from meshwright.config.problems import (
    MOST_PROBLEMS,
    Problem,
    config_error,
    did_you_mean,
    format_path,
    listed,
    quoted,
)


def problem(line: int | None = 1, got: str = "0") -> Problem:
    return Problem("g.yaml", line, ("a",), "more", got)


def test_a_problem_is_one_sentence_with_its_place() -> None:
    path = ("routes", 2, "filters", 0, "rate_limit", "burst")

    shown = str(Problem("gateway.yaml", 14, path, "a whole number, 1 or more", "0"))

    assert shown == "gateway.yaml:14: routes[2].filters[0].rate_limit.burst: expected a whole number, 1 or more; got 0"


def test_a_problem_ends_with_its_hint() -> None:
    shown = str(Problem("g.yaml", None, (), "this", "that", 'did you mean "burst"?'))

    assert shown == 'g.yaml: expected this; got that (did you mean "burst"?)'


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a", "b-c", 0, 1, "d"), "a.b-c[0][1].d"),
        (("a", "b.c", "d e", '"'), 'a["b.c"]["d e"]["\\""]'),
        (("1a",), '["1a"]'),
    ],
)
def test_keys_that_are_no_plain_words_stand_in_brackets(path: tuple[str | int, ...], text: str) -> None:
    assert format_path(path) == text


def test_an_error_has_each_problem_once_in_the_order_of_the_file() -> None:
    first, second, nowhere = problem(1), problem(2), problem(None)

    assert config_error([second, first, nowhere, second]).problems == (nowhere, first, second)


def test_a_long_report_is_cut_and_says_so() -> None:
    error = config_error(problem(line) for line in range(1000))

    assert len(error.problems) == MOST_PROBLEMS + 1
    assert (
        str(error.problems[-1])
        == "g.yaml: expected 200 problems at most; got 1000 of them (the last ones are left out)"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a", '"a"'),
        ('a"b\n', '"a\\"b\\n"'),
        ("x" * 61, '"' + "x" * 57 + '..."'),
        ("redis://user:pass@host/0", '"redis://***@host/0"'),
        ("http://a/b@c", '"http://a/b@c"'),
    ],
)
def test_a_text_is_shown_short_and_without_credentials(text: str, shown: str) -> None:
    assert quoted(text) == shown


@pytest.mark.parametrize("text", ["\x1b[2J", "\u202e", "\x9b", "\u2028", "a\nb", "\ud800"])
def test_what_a_terminal_would_obey_is_escaped_in_every_text(text: str) -> None:
    problem = Problem(text, 1, (text,), text, text, text)

    assert str(problem).isprintable()
    assert (problem.file + problem.expected + problem.got + problem.hint).isprintable()
    assert quoted(text).isprintable()
    assert problem.path == (text,)


def test_letters_of_any_language_are_shown_as_they_are() -> None:
    assert Problem("g.yaml", None, (), "größer", "小").got == "小"


def test_names_are_listed_as_in_a_sentence() -> None:
    assert (listed("a"), listed("ab"), listed("abc", "and")) == ("a", "a or b", "a, b and c")


def test_the_nearest_name_is_suggested_when_it_is_near() -> None:
    assert did_you_mean("bursst", ["rate", "burst"]) == 'did you mean "burst"?'
    assert did_you_mean("window", ["rate", "burst"]) == ""
