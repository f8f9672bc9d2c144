from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import pytest

from meshwright_sdk import Match, NoOptions, Request, Route, Router, Verdict
from meshwright_sdk.testing import build, check_router


class Sound(Router[NoOptions]):
    """Looks at one route after the other."""

    routes: Sequence[Route] = ()

    def compile(self, routes: Sequence[Route]) -> None:
        self.routes = routes

    def match(self, request: Request) -> Route | None:
        for route in self.routes:
            values = self.values(route.match, request)
            if values is not None:
                request.path_params = values
                return route
        return None

    def explain(self, request: Request) -> Sequence[Verdict]:
        chosen = next((route for route in self.routes if self.values(route.match, request) is not None), None)
        return [Verdict(route, route is chosen, "because") for route in self.routes]

    def values(self, match: Match, request: Request) -> dict[str, str] | None:
        if not self.takes_host(match, request.host) or not match.accepts_fields(request):
            return None
        found = self.pattern(match).fullmatch(request.path)
        return None if found is None else {name: self.decoded(value) for name, value in found.groupdict().items()}

    def takes_host(self, match: Match, host: str) -> bool:
        return not match.hosts or any(
            host == name or (name.startswith("*") and host.endswith(name[1:])) for name in match.hosts
        )

    def pattern(self, match: Match) -> re.Pattern[str]:
        if match.path_regex is not None:
            return match.path_regex
        path = match.path or "/*"
        body = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path.removesuffix("/*"))
        return re.compile(body + ("(?:/.*)?" if path.endswith("/*") else ""))

    def decoded(self, value: str) -> str:
        return unquote(value)


class WithoutRegex(Sound):
    def compile(self, routes: Sequence[Route]) -> None:
        if any(route.match.path_regex for route in routes):
            raise ValueError("path_regex: not here")
        super().compile(routes)


class NeedsARoute(Sound):
    def compile(self, routes: Sequence[Route]) -> None:
        self.first = routes[0]
        super().compile(routes)


class Asynchronous(Sound):
    async def match(self, request: Request) -> Any:  # type: ignore[override]
        return super().match(request)


class HalfSegments(Sound):
    def pattern(self, match: Match) -> re.Pattern[str]:
        path = match.path or "/*"
        return re.compile(re.escape(path.removesuffix("/*")) + ".*") if path.endswith("/*") else super().pattern(match)


class IgnoresHosts(Sound):
    def takes_host(self, match: Match, host: str) -> bool:
        return True


class WildcardTakesTheDomain(Sound):
    def takes_host(self, match: Match, host: str) -> bool:
        return super().takes_host(match, host) or f"*.{host}" in match.hosts


class IgnoresFields(Sound):
    def values(self, match: Match, request: Request) -> dict[str, str] | None:
        return super().values(Match(hosts=match.hosts, path=match.path, path_regex=match.path_regex), request)


class NotDecoded(Sound):
    def decoded(self, value: str) -> str:
        return value


class FirstForAll(Sound):
    def match(self, request: Request) -> Route | None:
        return self.routes[0] if super().match(request) else None


class Default(Sound):
    def match(self, request: Request) -> Route | None:
        return super().match(request) or Route("default", Match(), lambda request: None)  # type: ignore[arg-type, return-value]


class ExplainsTheChosenOnly(Sound):
    def explain(self, request: Request) -> Sequence[Verdict]:
        return [verdict for verdict in super().explain(request) if verdict.chosen]


class ExplainsOtherwise(Sound):
    def explain(self, request: Request) -> Sequence[Verdict]:
        return [Verdict(route, False, "because") for route in self.routes]


class GivesNoReason(Sound):
    def explain(self, request: Request) -> Sequence[Verdict]:
        return [Verdict(verdict.route, verdict.chosen, "") for verdict in super().explain(request)]


class ExplainTouchesTheRequest(Sound):
    def explain(self, request: Request) -> Sequence[Verdict]:
        request.path_params = {"seen": "1"}
        return super().explain(request)


@pytest.mark.parametrize("sound", [Sound, WithoutRegex])
async def test_a_sound_router_passes(sound: type[Sound]) -> None:
    await check_router(lambda: build(sound))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (NeedsARoute, "compile([]): expected it to return, as a gateway may have no routes yet; it raised IndexError"),
        (Asynchronous, "a route or None at once (match is no `async def`: it never waits); got a coroutine"),
        (HalfSegments, "match of <Request GET gateway.test/ab> with Match(path='/a/*'): expected None"),
        (IgnoresHosts, "with Match(hosts=('a.test',)): expected None, as a condition does not hold"),
        (WildcardTakesTheDomain, "match of <Request GET a.test/> with Match(hosts=('*.a.test',)): expected None"),
        (IgnoresFields, "with Match(methods=frozenset({'POST'})): expected None"),
        (NotDecoded, "request.path_params to hold the values, percent-decoded"),
        (FirstForAll, "among 50 routes: expected route r1; got <Route r0>"),
        (Default, "expected None, as a condition does not hold; got <Route default>"),
        (ExplainsTheChosenOnly, "expected one verdict for each route; got []"),
        (ExplainsOtherwise, "expected <Route only> to be chosen, as by match; got []"),
        (GivesNoReason, "expected a reason in every verdict"),
        (ExplainTouchesTheRequest, "expected the request to be left as it is; got {'seen': '1'}"),
    ],
)
async def test_a_broken_router_is_told_what_to_mend(broken: type[Sound], message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        await check_router(lambda: build(broken))
