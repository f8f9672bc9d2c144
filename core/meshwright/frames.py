"""Which part of a traceback is a plugin author's, and how it is told in one line; no logging goes in here."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path

import pluggy

import meshwright_sdk

_NOT_THE_AUTHORS = tuple(str(Path(file).parent) + "/" for file in (__file__, meshwright_sdk.__file__, pluggy.__file__))


def author_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of `error`, outermost first, without those of the gateway and of Python's import system."""
    return [frame for frame in traceback.extract_tb(error.__traceback__) if _is_authors(frame.filename)]


def _is_authors(filename: str) -> bool:
    return not filename.startswith(("<frozen ", *_NOT_THE_AUTHORS))


def describe_failure(error: BaseException) -> str:
    """Return what was raised and where, such as `KeyError: 'x' (filters.py:12 in setup, filters.py:3)`.

    The innermost frame comes first and three are shown, which is where an author looks.
    """
    places = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in reversed(author_frames(error)[-3:])]
    message = str(error)
    if isinstance(error, SyntaxError):
        message, places = error.msg, [f"{error.filename}:{error.lineno}"]
    where = f" ({', '.join(places).replace(' in <module>', '')})" if places else ""
    return f"{type(error).__name__}: {message}{where}" if message else f"{type(error).__name__}{where}"


def place_of(function: object) -> str:
    """Return where a function is written, such as ` (filters.py:12)`; nothing when that is not known."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
