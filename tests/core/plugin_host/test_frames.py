"""A failure in a plugin is told by its author's lines, whatever called and whatever was called."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from meshwright.plugin_host.frames import author_frames, describe_failure, place_of
from meshwright_sdk.units import Duration

HERE = __file__


def failure(function: Callable[[], object]) -> Exception:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("expected it to fail")


def test_what_was_raised_comes_with_the_innermost_line_first() -> None:
    def inner() -> None:
        raise KeyError("x")

    def outer() -> None:
        inner()

    described = describe_failure(failure(outer))

    line = outer.__code__.co_firstlineno + 1
    assert described.startswith(
        f"KeyError: 'x' ({HERE}:{inner.__code__.co_firstlineno + 1} in inner, {HERE}:{line} in "
    )


def test_lines_of_the_gateway_and_of_libraries_are_left_out() -> None:
    in_the_sdk = failure(lambda: Duration("5"))
    in_a_library = failure(lambda: json.loads("{"))

    assert {frame.filename for frame in author_frames(in_the_sdk)} == {HERE}
    assert {frame.filename for frame in author_frames(in_a_library)} == {HERE}


def test_a_library_is_blamed_when_nobody_else_is_there() -> None:
    error = failure(lambda: json.loads("{"))
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename == HERE:
        traceback = traceback.tb_next

    frames = author_frames(error.with_traceback(traceback))

    assert {Path(frame.filename).parent.name for frame in frames} == {"json"}


def test_a_syntax_error_is_told_by_its_own_place() -> None:
    error = failure(lambda: compile("x = (", "filters.py", "exec"))

    assert describe_failure(error) == "SyntaxError: '(' was never closed (filters.py:1)"


def test_a_message_of_several_lines_is_told_in_one() -> None:
    def fail() -> None:
        raise ValueError("one\n  two")

    assert describe_failure(failure(fail)).startswith("ValueError: one two (")


def test_an_error_without_message_or_frames_is_its_name() -> None:
    assert describe_failure(OSError()) == "OSError"


def test_a_function_is_placed_where_it_is_written_and_anything_else_nowhere() -> None:
    line = failure.__code__.co_firstlineno

    assert place_of(failure) == f" ({HERE}:{line})"
    assert place_of(len) == ""
    assert place_of(3) == ""
