"""YAML text as a tree of nodes, each with its line; what the texts in it mean is decided elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, NoReturn, TypeAlias

import yaml

from meshwright.config.problems import Problem, config_error, quoted
from meshwright.config.scalars import resolve

MOST_NODES = 500_000
"""How many keys and values a document may hold."""
MOST_COPIES = 100_000
"""How many values aliases may stand for; it is what makes an alias bomb harmless."""
MOST_LEVELS = 100
"""How deep lists and mappings may stand in one another, those that aliases stand for included."""

# The parser in C is part of every wheel of PyYAML; the one in Python does the same, slower.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True)
class Scalar:
    """A text. Only a plain one, which has no quotes, may mean a number, a truth value or nothing."""

    line: int
    text: str
    plain: bool
    size: ClassVar[int] = 1
    height: ClassVar[int] = 0


@dataclass(slots=True)
class Sequence:
    """A list. `size` counts the nodes in it, `height` the levels; both count an alias as what it stands for."""

    line: int
    items: list[Node] = field(default_factory=list)
    size: int = 1
    height: int = 1


@dataclass(slots=True)
class Mapping:
    """A mapping, with the line of each key in `lines`; `size` and `height` as for a list."""

    line: int
    entries: dict[str, Node] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    size: int = 1
    height: int = 1


Node: TypeAlias = Scalar | Sequence | Mapping
Collection: TypeAlias = Sequence | Mapping
"""Lines count from 1."""


def compose(text: str, file: str) -> Node | None:
    """Return the one document of `text`, or None when it is empty.

    An anchored node is the same object wherever an alias stands for it, and never contains itself. Raises
    ConfigError: for a text that is no YAML the first problem, for keys, tags and aliases all of them.
    """
    return _Composer(text, file).compose()


class _Composer:
    """Builds the tree from the parser's events, without recursion, so that depth costs no stack."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text.removeprefix("\ufeff")
        self.file = file
        self.problems: list[Problem] = []
        self.open: list[_Open] = []
        self.anchors: dict[str, Node | None] = {}
        self.top: Node | None = None
        self.documents = self.nodes = self.copies = 0

    def compose(self) -> Node | None:
        self.refuse_unreadable()
        try:
            for event in self.events():
                self.take(event)
        except yaml.YAMLError as error:
            raise config_error([self.malformed(error)]) from error
        if self.problems:
            raise config_error(self.problems)
        return self.top

    def events(self) -> Iterator[yaml.Event]:
        loader = _Loader(self.text)
        try:
            while loader.check_event():
                yield loader.get_event()
        finally:
            loader.dispose()

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1  # type: ignore[union-attr]  # every event has one
        if isinstance(event, yaml.NodeEvent):
            self.nodes += 1
            if self.nodes > MOST_NODES or len(self.open) > MOST_LEVELS:
                self.refuse_excess(line)
            self.begin(event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.finish()
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.stop(line, "one YAML document", "a second one", "remove the line `---`")

    def begin(self, event: yaml.NodeEvent, line: int) -> None:
        if isinstance(event, yaml.AliasEvent):
            self.add(self.target(event.anchor or "", line), line)
            return
        if event.tag is not None:  # type: ignore[attr-defined]  # each other node has one or None
            self.refuse_tag(event.tag, line)  # type: ignore[attr-defined]
        if isinstance(event, yaml.ScalarEvent):
            scalar = Scalar(line, event.value, not event.style)
            if event.anchor is not None:
                self.anchors[event.anchor] = scalar
            self.add(scalar, line)
            return
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        node = Sequence(line) if isinstance(event, yaml.SequenceStartEvent) else Mapping(line)
        self.open.append(_Open(node, event.anchor))

    def finish(self) -> None:
        done = self.open.pop()
        if done.anchor is not None:
            self.anchors[done.anchor] = done.node
        self.add(done.node, done.node.line)

    def target(self, name: str, line: int) -> Node:
        """Return what an alias stands for, unless that would make the document too large or endless."""
        node = self.anchors.get(name)
        if node is None:
            got = f"*{name}, which stands inside it" if name in self.anchors else f"*{name}"
            self.problem(line, "an alias of an anchor that stands before it", got)
            return Scalar(line, "", plain=False)
        self.copies += node.size
        if self.copies > MOST_COPIES:
            self.stop(line, f"aliases that stand for {MOST_COPIES} values at most", "more")
        if len(self.open) + node.height > MOST_LEVELS:
            self.refuse_depth(line)
        return node

    def add(self, node: Node, line: int) -> None:
        """Put a complete node where it belongs: into the innermost open collection, or on top."""
        if not self.open:
            self.top = node
            return
        parent = self.open[-1]
        into = parent.node
        if isinstance(into, Sequence):
            into.items.append(node)
        elif parent.key is None:
            parent.key, parent.key_line = self.key(node, line, into), line
            return
        else:
            into.entries.setdefault(parent.key, node)
            into.lines.setdefault(parent.key, parent.key_line)
            parent.key = None
        into.size += node.size
        if node.height >= into.height:
            into.height = node.height + 1

    def key(self, node: Node, line: int, mapping: Mapping) -> str:
        """Return the key that a node is; a wrong one is noted, and its value is still looked at."""
        if not isinstance(node, Scalar):
            self.problem(line, "a text as key", "a mapping" if isinstance(node, Mapping) else "a list")
            return ""
        text = node.text
        if node.plain and not isinstance(resolve(text), str):
            hint = f'write it in quotes: "{text}"' if text else ""
            self.problem(line, "a text as key", text or "nothing", hint)
        elif node.plain and text == "<<":
            self.problem(line, "keys that are written out", "the merge key <<", "YAML 1.2 has none")
        elif text in mapping.entries:
            first = mapping.lines[text]
            self.problem(line, "each key once", f"{quoted(text)} again", f"the first one is in line {first}")
        return text

    def refuse_excess(self, line: int) -> NoReturn:
        if self.nodes > MOST_NODES:
            self.stop(line, f"{MOST_NODES} keys and values at most", "more")
        self.refuse_depth(line)

    def refuse_depth(self, line: int) -> NoReturn:
        self.stop(line, f"lists and mappings {MOST_LEVELS} deep at most", "deeper ones")

    def refuse_tag(self, tag: str, line: int) -> None:
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        self.problem(line, "a value without a tag", f"the tag {quoted(shown)}", "quotes make a text of anything")

    def refuse_unreadable(self) -> None:
        found = _UNREADABLE.search(self.text)
        if found:
            before = self.text[: found.start()]
            self.stop(
                before.count("\n") + 1, "text", f"the character U+{ord(found[0]):04X}", "is the file YAML, in UTF-8?"
            )

    def malformed(self, error: yaml.YAMLError) -> Problem:
        """Translate what the parser says; the slip that hides best, a tab, gets its own words."""
        mark, start = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
        line = mark.line + 1 if mark else None
        what = str(getattr(error, "problem", None) or "an unreadable character")
        source = self.text.split("\n")[mark.line : mark.line + 1] if mark else []
        if mark and source and source[0].startswith("\t", mark.column):
            return Problem(self.file, line, (), "spaces for indentation", "a tab")
        since = (
            f", {error.context} from line {start.line + 1}" if isinstance(error, yaml.MarkedYAMLError) and start else ""
        )
        return Problem(self.file, line, (), "well-formed YAML", f"an error: {what}{since}", _hint(what, *source))

    def problem(self, line: int, expected: str, got: str, hint: str = "") -> None:
        self.problems.append(Problem(self.file, line, self.path(), expected, got, hint))

    def path(self) -> tuple[str | int, ...]:
        parts: list[str | int] = []
        for parent in self.open:
            if isinstance(parent.node, Sequence):
                parts.append(len(parent.node.items))
            elif parent.key is not None:
                parts.append(parent.key)
        return tuple(parts)

    def stop(self, line: int, expected: str, got: str, hint: str = "") -> NoReturn:
        raise config_error([*self.problems, Problem(self.file, line, (), expected, got, hint)])


@dataclass(slots=True)
class _Open:
    """A collection that is not complete, and the key that waits for its value."""

    node: Collection
    anchor: str | None
    key: str | None = None
    key_line: int = 0


def _hint(what: str, source: str = "") -> str:
    if "${" in source:
        return 'in [] and {} a reference needs quotes, such as "${NAME}"'
    if "cannot start any token" in what:
        return "put the text in quotes"
    if "mapping values are not allowed" in what:
        return "a text that has a colon needs quotes, and keys of one mapping the same indentation"
    return ""
