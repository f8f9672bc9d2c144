"""`PathIndex`: the candidates of one host, found by path without looking at each; hosts go elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from meshwright_plugins.routers.table.candidate import Candidate
from meshwright_plugins.routers.table.pattern import PathPattern
from meshwright_sdk import Request

Groups: TypeAlias = tuple[tuple[Candidate, ...], ...]


class _Node:
    """A place in the tree of segments; `ends` are templates that end here, `prefixes` those that go on.

    For a path that only one way through the tree leads here, `stopped` are all that take it if it goes on elsewhere,
    `ended` if it ends here, most specific first.
    """

    __slots__ = ("children", "ended", "ends", "parameter", "prefixes", "stopped")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.ends: list[Candidate] = []
        self.prefixes: list[Candidate] = []
        self.stopped: Groups = ()
        self.ended: Groups = ()


_NO_CHILDREN: dict[str, _Node] = {}
"""Those of all leaves, of which there may be thousands: one object stays in the processor's cache."""


def _gather(root: _Node) -> None:
    """Find what is stopped and ended at each place; without recursion, for paths may be long."""
    places: list[tuple[_Node, Groups]] = [(root, ())]
    while places:
        node, above = places.pop()
        node.stopped = (tuple(node.prefixes), *above) if node.prefixes else above
        node.ended = (tuple(node.ends), *node.stopped) if node.ends else node.stopped
        below = node.children.values() if node.parameter is None else (*node.children.values(), node.parameter)
        places += [(child, node.stopped) for child in below]
        node.children = node.children or _NO_CHILDREN


class PathIndex:
    """Finds the first candidate, by rank, that a request fulfils.

    Exact paths are in a dictionary, templates and prefixes in a tree on segments, so the number of routes
    costs nothing; regexes are tried one after the other, and last. Routes that differ in nothing but method,
    headers, query and cookies are tried in turn as well.
    """

    __slots__ = ("_depth", "_exact", "_regexes", "_root")

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._exact: dict[str, list[Candidate]] = {}
        self._root = _Node()
        self._depth = 0
        self._regexes: list[Candidate] = []
        for candidate in sorted(candidates, key=lambda candidate: candidate.rank):
            self._add(candidate)
        _gather(self._root)

    def _add(self, candidate: Candidate) -> None:
        pattern = candidate.pattern
        if pattern is None:
            self._regexes.append(candidate)
        elif pattern.is_exact:
            path = "".join(f"/{segment}" for segment in pattern.segments)
            self._exact.setdefault(path, []).append(candidate)
        else:
            self._depth = max(self._depth, len(pattern.segments))
            node = self._node(pattern)
            (node.prefixes if pattern.is_prefix else node.ends).append(candidate)

    def _node(self, pattern: PathPattern) -> _Node:
        node = self._root
        for segment in pattern.segments:
            if segment is not None:
                node = node.children.setdefault(segment, _Node())
                continue
            if node.parameter is None:
                node.parameter = _Node()
            node = node.parameter
        return node

    def find(self, request: Request) -> Candidate | None:
        """Return the first candidate that `request` fulfils; its host is not looked at."""
        path = request.path
        for candidate in self._exact.get(path, ()):
            if candidate.is_free or candidate.accepts_fields(request):
                return candidate
        for group in self._groups(path):
            for candidate in group:
                if candidate.is_free or candidate.accepts_fields(request):
                    return candidate
        for candidate in self._regexes:
            if candidate.accepts_path(path) and candidate.accepts_fields(request):
                return candidate
        return None

    def _groups(self, path: str) -> Iterable[Sequence[Candidate]]:
        """Return the templates and then the prefixes that take `path`, most specific first.

        No more segments are split off than the tree is deep.
        """
        node = self._root
        segments = path.split("/", self._depth + 1)
        del segments[0]
        for segment in segments:
            child = node.children.get(segment)
            if node.parameter is not None and segment:
                if child is not None:
                    return self._forked_groups(segments)
                child = node.parameter
            if child is None:
                return node.stopped
            node = child
        return node.ended

    def _forked_groups(self, segments: list[str]) -> list[list[Candidate]]:
        """Do the same where a segment leads to two places: follow all places that a segment leads to, side by side.

        The literal one stands before the parameter, which is the order of their ranks.
        """
        places = [self._root]
        prefixes = [self._root.prefixes]
        for segment in segments:
            reached: list[_Node] = []
            for node in places:
                child = node.children.get(segment)
                if child is not None:
                    reached.append(child)
                if node.parameter is not None and segment:
                    reached.append(node.parameter)
            places = reached
            if not reached:
                break
            prefixes[:0] = [node.prefixes for node in reached]
        return [node.ends for node in places] + prefixes
