"""How two answers differ, as places and never as values; when answers are compared is decided elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field

from meshwright_sdk import HeaderName, Options

MOST_DIFFERENCES = 20
"""Places told of one pair of answers; one more is enough to know that they differ."""


class CompareOptions(Options):
    """What of two answers is compared. The status always is."""

    headers: tuple[HeaderName, ...] = Field((), description="Headers that have to be equal.")
    body: bool = Field(True, description="Compare the content: as JSON where both are, else byte by byte.")
    ignore: tuple[str, ...] = Field(
        (),
        description="Places in JSON that may differ, such as updated_at, items[].id or meta.*; [] is any place in a "
        "list, * any member.",
    )


class Comparison:
    """The rules, ready for use. What it yields names places such as `body.items[2].price`, and no value."""

    def __init__(self, options: CompareOptions) -> None:
        self._headers = options.headers
        self._body = options.body
        self._ignored = tuple(_parts(rule) for rule in options.ignore)

    def differences(self, one: Answer, other: Answer) -> list[str]:
        """Return where the answers differ, MOST_DIFFERENCES places at most."""
        found: list[str] = []
        for place in self._places(one, other):
            found.append(place)
            if len(found) == MOST_DIFFERENCES:
                break
        return found

    def _places(self, one: Answer, other: Answer) -> Iterator[str]:
        if one.status != other.status:
            yield f"status {one.status} and {other.status}"
        for name in self._headers:
            if one.headers.get(name) != other.headers.get(name):
                yield f"header {name}"
        if not self._body or one.content == other.content:
            return
        try:
            values = json.loads(one.content), json.loads(other.content)
        except (ValueError, RecursionError):
            yield "body"
        else:
            yield from self._in_json(*values, ())

    def _in_json(self, one: Any, other: Any, path: tuple[str | int, ...]) -> Iterator[str]:
        if path and self._is_ignored(path):
            return
        if isinstance(one, dict) and isinstance(other, dict):
            for key in sorted(one.keys() | other.keys()):
                if (key in one) != (key in other):
                    if not self._is_ignored((*path, key)):
                        yield _shown((*path, key))
                else:
                    yield from self._in_json(one[key], other[key], (*path, key))
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            for index, pair in enumerate(zip(one, other, strict=True)):
                yield from self._in_json(*pair, (*path, index))
        elif type(one) is not type(other) or one != other:
            yield _shown(path)

    def _is_ignored(self, path: tuple[str | int, ...]) -> bool:
        return any(_fits(rule, path) for rule in self._ignored)


class Answer:
    """What is compared of an answer: its status, its headers by lower-case name, and its whole content."""

    __slots__ = ("content", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = content


def _parts(rule: str) -> tuple[str, ...]:
    """Return a rule in parts: `items[].id` is `items`, `[]`, `id`."""
    return tuple(part for part in rule.replace("[]", ".[]").split(".") if part)


def _fits(rule: Sequence[str], path: Sequence[str | int]) -> bool:
    return len(rule) == len(path) and all(
        (isinstance(step, int) and part == "[]") or (isinstance(step, str) and part in (step, "*"))
        for part, step in zip(rule, path, strict=True)
    )


def _shown(path: Sequence[str | int]) -> str:
    return "body" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
