"""`Problem`: one wrong thing in a configuration, as data and as a sentence; finding problems goes elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from json import dumps
from typing import TypeAlias

from meshwright_sdk import ConfigError

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a document: the keys of mappings and the indexes of lists, outermost first."""

MOST_PROBLEMS = 200
"""A report with more than this many problems is cut, and says so."""

_BARE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_USERINFO = re.compile(r"(?<=://)[^/?#\s\"']*@")
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong thing: where it is, what was expected, what came instead, and what was probably meant.

    `str` gives the sentence that is shown: `gateway.yaml:14: routes[0].name: expected …; got … (hint)`.
    `got` is already safe to show: it holds no secret and nothing that came in by a reference. What a terminal
    would obey instead of showing is escaped here, in every text.
    """

    file: str
    line: int | None
    path: KeyPath
    expected: str
    got: str
    hint: str = ""

    def __post_init__(self) -> None:
        for name in ("file", "expected", "got", "hint"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [place, format_path(self.path), f"expected {self.expected}; got {self.got}"]
        return ": ".join(filter(None, parts)) + (f" ({self.hint})" if self.hint else "")


def config_error(problems: Iterable[Problem]) -> ConfigError:
    """Return the error that carries the problems, each one once, in the order of the file."""
    found = sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)
    left_out = found[MOST_PROBLEMS:]
    if left_out:
        got = f"{len(found)} of them"
        more = Problem(found[0].file, None, (), f"{MOST_PROBLEMS} problems at most", got, "the last ones are left out")
        found = [*found[:MOST_PROBLEMS], more]
    return ConfigError(found)


def problems_in(error: ConfigError) -> Iterator[Problem]:
    """Yield the problems of an error whose place is known as data."""
    return (each for each in error.problems if isinstance(each, Problem))


def format_path(path: KeyPath) -> str:
    """Return the path as it stands in messages, such as `routes[2].filters[0].rate_limit.burst`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _BARE_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{quoted(part)}]"
    return text


def quoted(text: str) -> str:
    """Return the text in quotes, shortened, on one line, and without the user and password of a URL."""
    shown = without_userinfo(text)
    return printable(dumps(shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}...", ensure_ascii=False))


def printable(text: str) -> str:
    """Return the text with an escape for each character that is not shown as itself: controls, marks of direction."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def without_userinfo(text: str) -> str:
    """Return the text with `***` in the place of the user and password of each URL in it."""
    return _USERINFO.sub("***@", text)


def listed(names: Iterable[str], conjunction: str = "or") -> str:
    """Return the names as a sentence has them: `a`, `a or b`, `a, b or c`."""
    *first, last = names
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is nearest to a wrong one, or nothing when none is near."""
    near = get_close_matches(wrong, list(known), n=1)
    return f"did you mean {quoted(near[0])}?" if near else ""
