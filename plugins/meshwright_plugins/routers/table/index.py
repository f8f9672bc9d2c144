"""`PathIndex`: the candidates of one host, found by path without looking at each; hosts go elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from meshwright_plugins.routers.table.candidate import Candidate
from meshwright_plugins.routers.table.pattern import PathPattern
from meshwright_sdk import Request


class _Node:
    """A place in the tree of segments; `ends` are templates that end here, `prefixes` those that go on."""

    __slots__ = ("children", "ends", "parameter", "prefixes")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.ends: list[Candidate] = []
        self.prefixes: list[Candidate] = []


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

    def _groups(self, path: str) -> list[list[Candidate]]:
        """Return the templates and then the prefixes that take `path`, most specific first.

        No more segments are split off than the tree is deep.
        """
        node = self._root
        prefixes = [node.prefixes]
        segments = path.split("/", self._depth + 1)[1:]
        for segment in segments:
            if node.parameter is not None:
                return self._forked_groups(segments)
            child = node.children.get(segment)
            if child is None:
                break
            node = child
            if node.prefixes:
                prefixes.append(node.prefixes)
        prefixes.reverse()
        return prefixes

    def _forked_groups(self, segments: list[str]) -> list[list[Candidate]]:
        """Do the same where parameters are on the way: follow all places that a segment leads to, side by side.

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
