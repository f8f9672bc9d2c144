"""Which part of a traceback is a plugin author's, and how it is told in one line; no logging goes in here."""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from pathlib import Path

import pluggy

import meshwright
import meshwright_sdk

_GATEWAY = tuple(f"{Path(file).parent}/" for file in (meshwright.__file__, meshwright_sdk.__file__, pluggy.__file__))
_LIBRARIES = tuple(f"{path}/" for name, path in sysconfig.get_paths().items() if name.endswith(("stdlib", "lib")))
_SHOWN = 3


def author_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of `error` that are its author's, outermost first.

    Those of the gateway and of Python's import system are never among them; those of libraries only when there
    are no others, which is so for a plugin that is installed.
    """
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen ", *_GATEWAY))
    ]
    return [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)] or frames


def describe_failure(error: BaseException) -> str:
    """Return what was raised and where, such as `KeyError: 'x' (filters.py:12 in setup, filters.py:3)`.

    It is one line; the innermost frame comes first and three are shown, which is where an author looks.
    """
    frames = reversed(author_frames(error)[-_SHOWN:])
    places = [f"{frame.filename}:{frame.lineno} in {frame.name}".removesuffix(" in <module>") for frame in frames]
    message = str(error)
    if isinstance(error, SyntaxError) and error.filename:
        message, places = error.msg, [f"{error.filename}:{error.lineno}"]
    said = ": ".join(filter(None, (type(error).__name__, " ".join(message.split()))))
    return f"{said} ({', '.join(places)})" if places else said


def place_of(function: object) -> str:
    """Return where a function is written, such as ` (filters.py:12)`; nothing when that is not known."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
