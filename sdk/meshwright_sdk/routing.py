"""`Route`, `Match` and `Router`: which requests a route takes, as data; the algorithm is a plugin's."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from meshwright_sdk.filters import CallNext
from meshwright_sdk.plugin import O_co, Plugin
from meshwright_sdk.request import Request

_PARAM = re.compile(r"\{(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMatch:
    """A condition on one named value: equal to `exact`, matching `regex` whole, or just present (or absent)."""

    name: str
    exact: str | None = None
    regex: re.Pattern[str] | None = None
    present: bool = True

    def accepts(self, value: str | None) -> bool:
        """Return whether `value` (None when there is none) fulfils the condition."""
        if value is None or not self.present:
            return (value is not None) == self.present
        if self.exact is not None:
            return value == self.exact
        return self.regex is None or self.regex.fullmatch(value) is not None

    def __str__(self) -> str:
        if not self.present:
            return f"{self.name} absent"
        if self.exact is not None:
            return f"{self.name}={self.exact}"
        return f"{self.name}~{self.regex.pattern}" if self.regex else f"{self.name} present"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The conditions of one route; all of them must hold, an empty one always does.

    `hosts` are lower-case names, `*.example.com` for any name below it. `path` is exact (`/orders`), a prefix
    on whole segments (`/orders/*`, which takes `/orders` too) or a template (`/users/{id}`). `path_regex`
    must match the whole path. Methods are upper-case. Of equal header names, query parameters or cookies
    any one that fulfils the condition is enough for headers, and the view of `Request` decides for the rest.
    """

    hosts: tuple[str, ...] = ()
    path: str | None = None
    path_regex: re.Pattern[str] | None = None
    methods: frozenset[str] = frozenset()
    headers: tuple[FieldMatch, ...] = ()
    query: tuple[FieldMatch, ...] = ()
    cookies: tuple[FieldMatch, ...] = ()

    @property
    def params(self) -> frozenset[str]:
        """The names that the path puts into `request.path_params`: of a template, or of a regex' named groups."""
        named = self.path_regex.groupindex if self.path_regex else ()
        return frozenset((*_PARAM.findall(self.path or ""), *named))

    def accepts_fields(self, request: Request) -> bool:
        """Return whether method, headers, query and cookies fulfil the conditions; host and path are not looked at."""
        return next(self.refusals(request), None) is None

    def refusals(self, request: Request) -> Iterator[str]:
        """Yield what was expected and what came, for each condition on method, headers, query or cookies that fails."""
        if self.methods and request.method not in self.methods:
            yield f"method: expected {'|'.join(sorted(self.methods))}; got {request.method}"
        for header in self.headers:
            values = request.headers.getlist(header.name) or [None]  # type: ignore[list-item]
            if not any(header.accepts(value) for value in values):
                yield f"header: expected {header}; got {values[0]!r}"
        for kind, conditions, view in (
            ("query", self.query, "query_params"),
            ("cookie", self.cookies, "cookies"),
        ):
            for condition in conditions:
                value: str | None = getattr(request, view).get(condition.name)
                if not condition.accepts(value):
                    yield f"{kind}: expected {condition}; got {value!r}"


class Route:
    """A route of the current snapshot: its name, its place in the file, its conditions and its composed chain."""

    __slots__ = ("__weakref__", "handle", "index", "match", "name")

    def __init__(self, name: str, match: Match, handle: CallNext, index: int = 0) -> None:
        self.name = name
        self.match = match
        self.handle = handle
        self.index = index

    def __repr__(self) -> str:
        return f"<Route {self.name}>"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why one route was or was not chosen, in one sentence, for `explain`."""

    route: Route
    chosen: bool
    reason: str


class Router(Plugin[O_co]):
    """Finds the route of a request; `compile` is called once a snapshot, `match` once a request.

    `match` is synchronous, never waits, and puts the values of a path template into `request.path_params`.
    """

    @abstractmethod
    def compile(self, routes: Sequence[Route]) -> None:
        """Take over the routes, in the order of the file; raises ValueError for a route it cannot serve.

        Called in a thread without an event loop, before the first `match`.
        """

    @abstractmethod
    def match(self, request: Request) -> Route | None:
        """Return the route for `request`, or None."""

    @abstractmethod
    def explain(self, request: Request) -> Sequence[Verdict]:
        """Return one verdict a route, in the router's order of precedence."""


AnyRouter = Router[Any]
