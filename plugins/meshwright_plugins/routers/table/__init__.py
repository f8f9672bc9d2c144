"""`table`: the router that finds a request's route by host, then path, then the rest; no chains, no services."""

from __future__ import annotations

from collections.abc import Sequence

from meshwright_plugins.routers.table.candidate import RANKS, Candidate, candidates_of
from meshwright_plugins.routers.table.index import PathIndex
from meshwright_sdk import Context, NoOptions, Request, Route, Router, Verdict


class Table(Router[NoOptions]):
    """Choose the most specific of the routes that a request fulfils, as the Kubernetes Gateway API orders them.

    Exact host before wildcard (long before short) before none; then exact path before template before prefix
    (long before short) before regex; then a route that names methods, more conditions on headers, on the query,
    on cookies; then the order in the file. A route without a path counts as `/*`, so it comes before every
    regex of its host. A template may end in `/*` and is a prefix then. Names in braces, and named groups of a
    regex, become `request.path_params`, percent-decoded.
    """

    def __init__(self, options: NoOptions, context: Context) -> None:
        super().__init__(options, context)
        self._candidates: Sequence[Sequence[Candidate]] = ()
        self._exact: dict[str, PathIndex] = {}
        self._below: dict[str, PathIndex] = {}
        self._any = PathIndex(())

    def compile(self, routes: Sequence[Route]) -> None:
        """Take over the routes; raises ValueError with every one that cannot be served, and keeps the old."""
        compiled, problems = [], []
        for place, route in enumerate(routes):
            try:
                compiled.append(candidates_of(route, place))
            except ValueError as error:
                problems.append(f"route {route.name}: {error}")
        if problems:
            raise ValueError("; ".join(problems))
        self._candidates = compiled
        self._build()

    def _build(self) -> None:
        by_host: dict[str, list[Candidate]] = {}
        for candidates in self._candidates:
            for candidate in candidates:
                by_host.setdefault(candidate.host, []).append(candidate)
        self._any = PathIndex(by_host.pop("", ()))
        indexes = {host: PathIndex(candidates) for host, candidates in by_host.items()}
        self._exact = {host: index for host, index in indexes.items() if not host.startswith("*")}
        self._below = {host[1:]: index for host, index in indexes.items() if host.startswith("*")}

    def match(self, request: Request) -> Route | None:
        """Return the route for `request`, or None; costs the same for ten routes and for ten thousand."""
        found = self._find(request)
        if found is None:
            return None
        if found.has_values:
            request.path_params = found.values(request.path)
        return found.route

    def _find(self, request: Request) -> Candidate | None:
        index = self._exact.get(request.host)
        if index is not None and (found := index.find(request)) is not None:
            return found
        if self._below and (found := self._find_below(request)) is not None:
            return found
        return self._any.find(request)

    def _find_below(self, request: Request) -> Candidate | None:
        """Try the wildcards above the host, the longest first."""
        host = request.host
        dot = host.find(".", 1)
        while dot > 0:
            index = self._below.get(host[dot:])
            if index is not None and (found := index.find(request)) is not None:
                return found
            dot = host.find(".", dot + 1)
        return None

    def explain(self, request: Request) -> Sequence[Verdict]:
        """Return one verdict a route, most specific first; `request` stays as it is."""
        nearest = sorted((_nearest(group, request) for group in self._candidates), key=lambda found: found.rank)
        chosen = next((candidate for candidate in nearest if candidate.accepts(request)), None)
        return [_verdict(candidate, chosen, request) for candidate in nearest]


def _nearest(candidates: Sequence[Candidate], request: Request) -> Candidate:
    """Return the route's candidate that speaks for it: of the hosts that fit, or else of all, the most specific."""
    fitting = [candidate for candidate in candidates if candidate.accepts_host(request.host)]
    return min(fitting or candidates, key=lambda candidate: candidate.rank)


def _verdict(candidate: Candidate, chosen: Candidate | None, request: Request) -> Verdict:
    if candidate is chosen:
        return Verdict(candidate.route, True, f"chosen: {_conditions(candidate)}")
    refusals = _refusals(candidate, request)
    if chosen is None or refusals:
        return Verdict(candidate.route, False, "; ".join(refusals))
    pairs = zip(RANKS, candidate.rank, chosen.rank, strict=True)
    why = next(reason for reason, own, better in pairs if own != better)
    return Verdict(candidate.route, False, f"would match, but {chosen.route.name} comes first: {why}")


def _refusals(candidate: Candidate, request: Request) -> list[str]:
    refusals = []
    if not candidate.accepts_host(request.host):
        refusals.append(f"host: expected {'|'.join(candidate.route.match.hosts)}; got {request.host!r}")
    if not candidate.accepts_path(request.path):
        refusals.append(f"path: expected {_path(candidate)}; got {request.path!r}")
    return [*refusals, *candidate.route.match.refusals(request)]


def _conditions(candidate: Candidate) -> str:
    fields = len(candidate.route.match.headers + candidate.route.match.query + candidate.route.match.cookies)
    words = [f"host {candidate.host}" if candidate.host else "any host", f"path {_path(candidate)}"]
    if candidate.methods:
        words.append(f"method {'|'.join(sorted(candidate.methods))}")
    return ", ".join([*words, f"{fields} more condition{'s' * (fields > 1)}"] if fields else words)


def _path(candidate: Candidate) -> str:
    match = candidate.route.match
    return f"~{match.path_regex.pattern}" if match.path_regex else match.path or "/*"
