"""Pydantic's errors as problems of a document: one for each slip, with its place, and nothing secret in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from meshwright.config.document import Document, leaves
from meshwright.config.fields import allowed_at, choices, is_secret, keys_of
from meshwright.config.problems import KeyPath, Problem, did_you_mean, listed, quoted, without_userinfo
from meshwright.config.wording import author_sentence, expected, is_in_authors_words

PLUGIN_OPTIONS = "meshwright_plugin_options"
"""Type of the error that stands for all errors in a plugin's options: its context has name, model and errors."""
PROBLEM = "meshwright_problem"
"""Type of an error whose context has expected, got (None: as it was written) and hint, in the gateway's own words."""

MOST_ERRORS = 1000
"""How many errors are translated; the report shows fewer."""

_KEY = "[key]"
_MANY_KEYS = 16
_SHORT = 4


@dataclass(frozen=True, slots=True)
class Scope:
    """A model, and where in a document its data stands."""

    document: Document
    model: type[BaseModel]
    at: KeyPath = ()

    def problems(self, errors: Sequence[ErrorDetails]) -> Iterator[Problem]:
        """Yield a problem for each slip that the errors tell of, with those inside plugins' options."""
        own = []
        for error in errors[:MOST_ERRORS]:
            slip = self._slip(error)
            if self._is_echo(slip):
                continue
            if error["type"] == PLUGIN_OPTIONS:
                context = error["ctx"]
                inner = Scope(self.document, context["model"], (*slip.path, context["name"]))
                yield from inner.problems(context["errors"])
            else:
                own.append(slip)
        for problem in self._one_for_each_union(own):
            if not self.document.is_unresolved(problem.path):
                yield problem

    def _is_echo(self, slip: _Slip) -> bool:
        """Return whether a list is found too short just because entries in it are wrong, which is told already."""
        if slip.error["type"] != "too_short" or not self.document.holds(slip.path):
            return False
        value = self.document.value(slip.path)
        return isinstance(value, list | dict) and len(value) >= slip.error["ctx"]["min_length"]

    def _slip(self, error: ErrorDetails) -> _Slip:
        """Place the error: parts of its location that the document does not hold name members of unions."""
        path, members = list(self.at), []
        for index, part in enumerate(error["loc"], 1):
            is_missing = error["type"] == "missing" and index == len(error["loc"])
            if is_missing or self.document.holds((*path, part)):
                path.append(part)
            elif isinstance(part, str) and part != _KEY:
                members.append((tuple(path), part))
        return _Slip(error, tuple(path), tuple(members))

    def _one_for_each_union(self, slips: Sequence[_Slip], depth: int = 0) -> Iterator[Problem]:
        """Yield the problems; of a union whose members all failed only the member that was meant, or one for all."""
        unions: dict[KeyPath, dict[str, list[_Slip]]] = {}
        for slip in slips:
            if len(slip.members) > depth:
                place, member = slip.members[depth]
                unions.setdefault(place, {}).setdefault(member, []).append(slip)
            else:
                yield self._problem(slip)
        for place, members in unions.items():
            fitting = [found for found in members.values() if all(len(slip.path) > len(place) for slip in found)]
            if len(members) == 1 or fitting:
                meant = min(fitting or members.values(), key=len)
                yield from self._one_for_each_union(meant, depth + 1)
            else:
                yield self._any_of(place, members)

    def _any_of(self, place: KeyPath, members: dict[str, list[_Slip]]) -> Problem:
        slips = [next(slip for slip in found if len(slip.path) == len(place)) for found in members.values()]
        problems = [self._problem(slip) for slip in slips]
        return self.document.problem(
            place,
            listed(dict.fromkeys(problem.expected for problem in problems)),
            problems[0].got,
            next((problem.hint for problem in problems if problem.hint), ""),
        )

    def _problem(self, slip: _Slip) -> Problem:
        error, path = slip.error, slip.path
        if error["type"] == PROBLEM:
            return self._ready(path, **error["ctx"])
        if error["type"] == "extra_forbidden":
            return self._unknown_key(slip)
        if error["loc"] and error["loc"][-1] == _KEY:
            return self.document.problem(path, f"{self._expected(slip)} as key", quoted(str(path[-1])))
        if is_in_authors_words(error):
            return self._in_authors_words(slip)
        return self.document.problem(path, self._expected(slip), self._shown(path), self._hint(slip))

    def _ready(self, path: KeyPath, expected: str, got: str | None, hint: str) -> Problem:
        """Return a problem that was told whole; a hint at what is near a value would tell of the value."""
        told = None if got is None else self._without_values(got, path)
        return self.document.problem(
            path, self._without_values(expected, path), told, "" if self._hides(path) else hint
        )

    def _expected(self, slip: _Slip) -> str:
        return expected(slip.error, allowed_at(self.model, self._inside(slip.path)))

    def _unknown_key(self, slip: _Slip) -> Problem:
        *parents, key = self._inside(slip.path)
        known = keys_of(allowed_at(self.model, tuple(parents)))
        if not known:
            wanted = "no keys"
        elif len(known) > _MANY_KEYS:
            wanted = "a known key"
        else:
            wanted = f"the key {known[0]}" if len(known) == 1 else f"one of the keys {listed(known)}"
        return self.document.problem(slip.path, wanted, "an unknown key", did_you_mean(str(key), known))

    def _in_authors_words(self, slip: _Slip) -> Problem:
        wanted, got, hint = (self._without_values(text, slip.path) for text in author_sentence(slip.error))
        shown = self._shown(slip.path)
        if self.document.holds(slip.path) and isinstance(self.document.value(slip.path), dict | list):
            # Words about the parts say more than "a mapping"; its repr would say too much.
            shown = shown if not got or got[0] in "{[(" else got
        return self.document.problem(slip.path, wanted, shown, hint)

    def _hint(self, slip: _Slip) -> str:
        path = slip.path
        value = self.document.value(path) if self.document.holds(path) else None
        if slip.error["type"] == "string_type" and isinstance(value, int | float) and not self._hides(path):
            return f'write it in quotes: "{self.document.shown(path)}"'
        if slip.error["type"] == "literal_error" and isinstance(value, str) and not self._hides(path):
            return did_you_mean(value, choices(allowed_at(self.model, self._inside(path))))
        return ""

    def _shown(self, path: KeyPath) -> str:
        return "***" if is_secret(self.model, self._inside(path)) else self.document.shown(path)

    def _hides(self, path: KeyPath) -> bool:
        return path in self.document.references or is_secret(self.model, self._inside(path))

    def _inside(self, path: KeyPath) -> KeyPath:
        return path[len(self.at) :]

    def _without_values(self, text: str, path: KeyPath) -> str:
        """Return a text that the gateway did not write, without the hidden values at and below `path`."""
        value = self.document.value(path) if self.document.holds(path) else None
        for leaf, inner in leaves(value, path):
            reference = self.document.references.get(leaf)
            for hidden, written in reference.hidden.items() if reference is not None else ():
                text = without(text, hidden, written)
            if is_secret(self.model, self._inside(leaf)):
                text = without(text, str(inner), "***")
        return without_userinfo(text)


@dataclass(frozen=True, slots=True)
class _Slip:
    """An error, the path in the document it speaks of, and for each union above it where that is and which member."""

    error: ErrorDetails
    path: KeyPath
    members: tuple[tuple[KeyPath, str], ...]


def without(text: str, value: str, instead: str) -> str:
    """Return the text with `instead` for each `value` in it; a very short one only where it stands alone."""
    if not value or value not in text:
        return text
    pattern = re.escape(value)
    return re.sub(pattern if len(value) >= _SHORT else rf"(?<!\w){pattern}(?!\w)", lambda _: instead, text)
