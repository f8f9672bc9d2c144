"""`Document`: a YAML text as plain data that knows where each value stands and how it was written."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshwright.config.nodes import Mapping as MappingNode
from meshwright.config.nodes import Node, Scalar, Sequence, compose
from meshwright.config.problems import KeyPath, Problem, config_error, quoted
from meshwright.config.references import ReferenceFailedError, References, has_reference
from meshwright.config.scalars import resolve

_TOP = "a mapping such as `listeners`, `routes` and `services` make"


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
    references: Mapping[KeyPath, Reference]
    files: frozenset[Path]
    problems: tuple[Problem, ...]
    _top: MappingNode

    def get(self, key: str, default: Any = None) -> Any:
        """Return a top-level value as it stands in the text, unchecked."""
        return self.data.get(key, default)

    def line_of(self, path: KeyPath) -> int | None:
        """Return the line of the value's key, or of the value where it has none, counted from 1.

        For what the text does not hold it is the line of the nearest value around it; the whole has none.
        """
        line: int | None = None
        node: Node | None = self._top
        for part in path:
            around, node = node, _below(node, part)
            if node is None:
                break
            line = around.lines[str(part)] if isinstance(around, MappingNode) else node.line
        return line

    def holds(self, path: KeyPath) -> bool:
        """Return whether the text has a value there."""
        return self._node(path) is not None

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
        if isinstance(value, str):
            return quoted(value)
        node = self._node(path)
        assert isinstance(node, Scalar)
        return node.text or "nothing"

    def _node(self, path: KeyPath) -> Node | None:
        node: Node | None = self._top
        for part in path:
            node = _below(node, part)
        return node

    def problem(self, path: KeyPath, expected: str, got: str | None = None, hint: str = "") -> Problem:
        """Return a problem with the value at `path`, shown as it was written unless `got` says what came."""
        return Problem(self.file, self.line_of(path), path, expected, self.shown(path) if got is None else got, hint)

    def is_unresolved(self, path: KeyPath) -> bool:
        """Return whether the value is, or is inside, a text whose reference failed: that problem is enough."""
        return any(
            (reference := self.references.get(path[:length])) is not None and reference.replaced is None
            for length in range(1, len(path) + 1)
        )

    def pieces(self) -> list[object]:
        """Return what the long lists and mappings hold, for whoever frees the document bit by bit."""
        nodes = [node for section in self._top.entries.values() for node in _held(section)]
        return [*nodes, *(value for section in self.data.values() for value in _held(section))]

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
        raise config_error([Problem(name, top.line, (), _TOP, got)])
    start = folder if folder is not None else Path(file).parent
    return _Reader(name, References(environ, start.absolute())).read(top)


def _held(section: Any) -> Iterable[object]:
    if isinstance(section, MappingNode | Sequence):
        section = section.items if isinstance(section, Sequence) else section.entries
    return section.values() if isinstance(section, dict) else section if isinstance(section, list) else ()


def _below(node: Node | None, part: str | int) -> Node | None:
    if isinstance(node, MappingNode):
        return node.entries.get(part)  # type: ignore[arg-type]  # a mapping has no number as a key
    if isinstance(node, Sequence) and isinstance(part, int) and 0 <= part < len(node.items):
        return node.items[part]
    return None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns nodes into plain data; aliases become values of their own. `path` leads to the node that it is at."""

    file: str
    resolver: References
    path: list[str | int] = field(default_factory=list)
    references: dict[KeyPath, Reference] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read(self, top: MappingNode) -> Document:
        data = self.mapping(top)
        return Document(
            file=self.file,
            folder=self.resolver.folder,
            data=data,
            references=self.references,
            files=frozenset(self.resolver.files),
            problems=tuple(self.problems),
            _top=top,
        )

    def mapping(self, node: MappingNode) -> dict[str, Any]:
        return {key: self.value(value, key, node.lines[key]) for key, value in node.entries.items()}

    def value(self, node: Node, part: str | int, line: int) -> Any:
        self.path.append(part)
        value: Any
        if isinstance(node, Scalar):
            value = self.scalar(node, line)
        elif isinstance(node, MappingNode):
            value = self.mapping(node)
        else:
            value = [self.value(item, index, item.line) for index, item in enumerate(node.items)]
        self.path.pop()
        return value

    def scalar(self, node: Scalar, line: int) -> str | int | float | bool | None:
        text = self.expanded(node, line) if "${" in node.text else node.text
        if text is None:
            return node.text
        return resolve(text) if node.plain else text

    def expanded(self, node: Scalar, line: int) -> str | None:
        """Return the text with its references replaced, or None when one of them cannot be."""
        if not has_reference(node.text):
            return self.resolver.expand(node.text)
        came_in: dict[str, str] = {}
        path = tuple(self.path)
        replaced = None
        try:
            replaced = self.resolver.expand(node.text, came_in)
        except ReferenceFailedError as error:
            self.problems.append(Problem(self.file, line, path, error.expected, error.got, error.hint))
        self.references[path] = Reference(node.text, replaced, not node.plain, came_in)
        return replaced


def leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every value that is no list or mapping, with its path below `path`."""
    if not isinstance(value, dict | list):
        yield path, value
        return
    for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, dict | list):
            yield from leaves(inner, (*path, part))
        else:
            yield (*path, part), inner
