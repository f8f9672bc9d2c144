"""Walking the plain data of a document whatever is in it: what has another type than it should is passed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshwright.config.problems import KeyPath

Section = tuple[KeyPath, dict[str, Any]]
"""A mapping and its path."""


def mapping(value: Any, path: KeyPath) -> Iterator[Section]:
    """Yield the value if it is a mapping."""
    if isinstance(value, dict):
        yield path, value


def mappings(value: Any, path: KeyPath) -> Iterator[Section]:
    """Yield the mappings that a list holds."""
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield from mapping(item, (*path, index))


def values(value: Any, path: KeyPath) -> Iterator[Section]:
    """Yield the mappings that a mapping holds."""
    for key, item in value.items() if isinstance(value, dict) else ():
        yield from mapping(item, (*path, key))
