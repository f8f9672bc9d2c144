"""`Document`: a YAML text as plain data that remembers where each value stands and how it was written."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshwright.config.nodes import Mapping as MappingNode
from meshwright.config.nodes import Mark, Node, Scalar, Sequence, compose
from meshwright.config.problems import KeyPath, Problem, config_error, quoted
from meshwright.config.references import ReferenceFailedError, References, has_reference
from meshwright.config.scalars import resolve

_TOP = "a mapping such as `listeners`, `routes` and `services` make"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one value and its key stand; a list's item has no key."""

    key: Mark | None
    value: Mark

    @property
    def line(self) -> int:
        """The line to look at: the key's, as a mapping begins below its own."""
        return (self.key or self.value).line


@dataclass(frozen=True, slots=True)
class Reference:
    """A text with references: as it was written, which may be shown, and what it became, which may not.

    `replaced` is None when a reference in it failed. A text without quotes may have become a number. `came_in`
    has the values of the single references in it.
    """

    written: str
    replaced: str | None
    quoted: bool
    came_in: Mapping[str, str] = field(default_factory=dict)

    @property
    def hidden(self) -> Mapping[str, str]:
        """What must not be shown, with what stands for it: in all the forms that it takes in messages."""
        values = {self.replaced or "": self.written, **self.came_in}
        return {
            form: written
            for value, written in values.items()
            if not value.isspace() and value
            for form in (value, value.lower(), repr(value)[1:-1])
        }


@dataclass(frozen=True, slots=True)
class Document:
    """What `read_document` read. Messages about its values are made with `problem`, so that they leak nothing."""

    file: str
    folder: Path
    data: dict[str, Any]
    places: Mapping[KeyPath, Place]
    references: Mapping[KeyPath, Reference]
    files: frozenset[Path]
    problems: tuple[Problem, ...]
    _numbers: Mapping[KeyPath, str]

    def get(self, key: str, default: Any = None) -> Any:
        """Return a top-level value as it stands in the text, unchecked."""
        return self.data.get(key, default)

    def place_of(self, path: KeyPath) -> Place | None:
        """Return where the value stands; for what the text does not hold, where the nearest value around it does."""
        for length in range(len(path), -1, -1):
            place = self.places.get(path[:length])
            if place is not None:
                return place if length else None
        return None

    def line_of(self, path: KeyPath) -> int | None:
        """Return the line of the value or of the nearest one around it, counted from 1."""
        place = self.place_of(path)
        return place.line if place else None

    def holds(self, path: KeyPath) -> bool:
        """Return whether the text has a value there."""
        return path in self.places

    def value(self, path: KeyPath) -> Any:
        """Return the value at a path that the text holds."""
        found: Any = self.data
        for part in path:
            found = found[part]
        return found

    def shown(self, path: KeyPath) -> str:
        """Return the value as messages show it: as it was written, short, with references unresolved."""
        if not self.holds(path):
            return "nothing"
        value = self.value(path)
        if isinstance(value, dict):
            return "a mapping" if value else "an empty mapping"
        if isinstance(value, list):
            return "a list" if value else "an empty list"
        reference = self.references.get(path)
        if reference is not None:
            return quoted(reference.written) if reference.quoted else quoted(reference.written)[1:-1]
        return quoted(value) if isinstance(value, str) else (self._numbers[path] or "nothing")

    def problem(self, path: KeyPath, expected: str, got: str | None = None, hint: str = "") -> Problem:
        """Return a problem with the value at `path`, shown as it was written unless `got` says what came."""
        return Problem(self.file, self.line_of(path), path, expected, self.shown(path) if got is None else got, hint)

    def is_unresolved(self, path: KeyPath) -> bool:
        """Return whether the value is, or is inside, a text whose reference failed: that problem is enough."""
        return any(
            (reference := self.references.get(path[:length])) is not None and reference.replaced is None
            for length in range(1, len(path) + 1)
        )

    def with_texts(self, paths: set[KeyPath]) -> dict[str, Any]:
        """Return a copy of the data in which references at `paths` stay the text they became."""
        data = copy.deepcopy(self.data)
        for path in paths:
            parent: Any = data
            for part in path[:-1]:
                parent = parent[part]
            parent[path[-1]] = self.references[path].replaced
        return data


def read_document(text: str, file: str | Path, *, environ: Mapping[str, str], folder: Path | None = None) -> Document:
    """Read a YAML text; `file` stands in messages, and `folder`, by default that of `file`, starts relative paths.

    Raises ConfigError for what is no YAML mapping. References that fail are kept as `problems` of the document,
    so that they can be told together with all the others.
    """
    name = str(file)
    top = compose(text, name)
    if top is None or (isinstance(top, Scalar) and top.plain and not top.text):
        raise config_error([Problem(name, None, (), _TOP, "an empty file")])
    if not isinstance(top, MappingNode):
        got = "a list" if isinstance(top, Sequence) else "a text"
        raise config_error([Problem(name, top.mark.line, (), _TOP, got)])
    start = folder if folder is not None else Path(file).parent
    return _Reader(name, References(environ, start.absolute())).read(top)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns nodes into plain data; aliases become values of their own, each with its path."""

    file: str
    resolver: References
    places: dict[KeyPath, Place] = field(default_factory=dict)
    references: dict[KeyPath, Reference] = field(default_factory=dict)
    numbers: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read(self, top: MappingNode) -> Document:
        data = self.mapping(top, ())
        return Document(
            file=self.file,
            folder=self.resolver.folder,
            data=data,
            places=self.places,
            references=self.references,
            files=frozenset(self.resolver.files),
            problems=tuple(self.problems),
            _numbers=self.numbers,
        )

    def mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        return {key: self.value(value, (*path, key), mark) for key, (mark, value) in node.entries.items()}

    def value(self, node: Node, path: KeyPath, key: Mark | None) -> Any:
        self.places[path] = Place(key, node.mark)
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, Sequence):
            return [self.value(item, (*path, index), None) for index, item in enumerate(node.items)]
        return self.scalar(node, path)

    def scalar(self, node: Scalar, path: KeyPath) -> str | int | float | bool | None:
        text = node.text
        if has_reference(text):
            came_in: dict[str, str] = {}
            replaced = self.replace(text, path, came_in)
            self.references[path] = Reference(text, replaced, not node.plain, came_in)
            if replaced is None:
                return text
            text = replaced
        elif "$${" in text:
            text = self.resolver.expand(text)
        if not node.plain:
            return text
        value = resolve(text)
        if not isinstance(value, str):
            self.numbers[path] = text
        return value

    def replace(self, text: str, path: KeyPath, came_in: dict[str, str]) -> str | None:
        try:
            return self.resolver.expand(text, came_in)
        except ReferenceFailedError as error:
            line = self.places[path].line
            self.problems.append(Problem(self.file, line, path, error.expected, error.got, error.hint))
            return None


def leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every value that is no list or mapping, with its path below `path`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, value
