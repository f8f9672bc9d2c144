"""`Candidate`: one route under one of its hosts — its predicates and its rank; no search goes in here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from meshwright_plugins.routers.table.pattern import PathPattern, parse_path
from meshwright_sdk import Request, Route

_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")

Rank = tuple[Any, ...]
RANKS = (
    "its host is more specific",
    "its path is more specific",
    "it names methods",
    "it has more conditions on headers",
    "it has more conditions on the query",
    "it has more conditions on cookies",
    "it stands earlier in the file",
)
"""What it means that one rank is smaller than another, for each of its places."""


class Candidate:
    """A route under one of its hosts (or under none, which takes every host).

    Of the candidates that a request fulfils, the one with the smallest `rank` is chosen. `is_free` says that
    nothing but host and path is looked at, `has_values` that the path holds parameters.
    """

    __slots__ = ("_has_fields", "has_values", "host", "is_free", "methods", "pattern", "rank", "regex", "route")

    def __init__(self, route: Route, host: str, pattern: PathPattern | None, place: int) -> None:
        match = route.match
        fields = (match.headers, match.query, match.cookies)
        self.route = route
        self.host = host
        self.pattern = pattern
        self.regex = match.path_regex
        self.methods = match.methods
        self._has_fields = any(fields)
        self.is_free = not match.methods and not self._has_fields
        self.has_values = bool(pattern.names if pattern else self.regex and self.regex.groupindex)
        self.rank: Rank = (
            _host_rank(host),
            pattern.rank if pattern else (3,),
            not match.methods,
            *(-len(conditions) for conditions in fields),
            place,
        )

    def accepts_host(self, host: str) -> bool:
        """Return whether the lower-case `host` is the candidate's, or below its wildcard."""
        if self.host.startswith("*"):
            return host.endswith(self.host[1:]) and len(host) >= len(self.host)
        return self.host in ("", host)

    def accepts_path(self, path: str) -> bool:
        """Return whether the normalised `path` is one of the candidate's."""
        if self.pattern is not None:
            return self.pattern.accepts(path)
        return self.regex is not None and self.regex.fullmatch(path) is not None

    def accepts_fields(self, request: Request) -> bool:
        """Return whether method, headers, query and cookies fulfil the conditions."""
        if self.methods and request.method not in self.methods:
            return False
        return not self._has_fields or self.route.match.accepts_fields(request)

    def accepts(self, request: Request) -> bool:
        """Return whether `request` fulfils all conditions."""
        return self.accepts_host(request.host) and self.accepts_path(request.path) and self.accepts_fields(request)

    def values(self, path: str) -> dict[str, str]:
        """Return the parameters of an accepted `path`, percent-decoded."""
        if self.pattern is not None:
            return self.pattern.values(path) if self.pattern.names else {}
        matched = self.regex.fullmatch(path) if self.regex is not None else None
        found = matched.groupdict() if matched is not None else {}
        return {name: unquote(value) for name, value in found.items() if value is not None}


def candidates_of(route: Route, place: int) -> Sequence[Candidate]:
    """Return the candidates of the route at `place` in the file; raises ValueError with what is wrong with it."""
    match = route.match
    if match.path is not None and match.path_regex is not None:
        raise ValueError("path: expected path or path_regex; got both")
    pattern = None if match.path_regex is not None else parse_path("/*" if match.path is None else match.path)
    for host in match.hosts:
        if _HOST.fullmatch(host) is None:
            raise ValueError(
                f"hosts: expected a lower-case name without port, *.example.com, or none for any host; got {host!r}"
            )
    return [Candidate(route, host, pattern, place) for host in match.hosts or ("",)]


def _host_rank(host: str) -> tuple[int, int]:
    if not host:
        return (2, 0)
    return (1, -len(host)) if host.startswith("*") else (0, 0)
