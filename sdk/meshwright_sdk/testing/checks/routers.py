"""`check_router`: that a router takes the requests that a route's conditions allow, and no others."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.routing import AnyRouter, FieldMatch, Match, Route
from meshwright_sdk.testing.checks.claims import calling, claim, running
from meshwright_sdk.testing.messages import make_request


@dataclass(frozen=True, slots=True)
class _Case:
    """A route's conditions with URLs (or requests) that fulfil them, and some that do not."""

    match: Match
    taken: Sequence[str | Request]
    refused: Sequence[str | Request]


_BETA = FieldMatch(name="x-beta", exact="1")


def _cases() -> Sequence[_Case]:
    return [
        _Case(Match(), ["/", "/a/b", "http://other.test/"], []),
        _Case(Match(path="/a"), ["/a", "/a?x=1"], ["/", "/a/", "/ab", "/a/b", "/A"]),
        _Case(Match(path="/a/*"), ["/a", "/a/", "/a/b/c"], ["/", "/ab"]),
        _Case(Match(path="/a/{x}/b"), ["/a/1/b"], ["/a//b", "/a/1", "/a/1/2/b"]),
        _Case(Match(path_regex=re.compile("/v[0-9]+")), ["/v1", "/v22"], ["/v", "/v1/", "/x/v1"]),
        _Case(Match(hosts=("a.test",)), ["http://a.test/", "http://A.test:81/"], ["http://b.a.test/", "http://x.test/"]),
        _Case(Match(hosts=("*.a.test",)), ["http://b.a.test/", "http://c.b.a.test/"], ["http://a.test/"]),
        _Case(Match(methods=frozenset({"POST"})), [make_request("POST")], ["/"]),
        _Case(Match(methods=frozenset({"GET"})), ["/"], [make_request("HEAD")]),
        _Case(Match(query=(_BETA,)), ["/?x-beta=1"], ["/", "/?x-beta=2"]),
        _Case(Match(headers=(_BETA,)), [_with("x-beta", "1")], ["/", _with("x-beta", "2")]),
        _Case(Match(cookies=(_BETA,)), [_with("cookie", "x-beta=1")], ["/", "/?x-beta=1"]),
    ]  # fmt: skip


async def check_router(make: Callable[[], AnyRouter]) -> None:
    """Run routers that `make` builds through their contract; raises AssertionError that says what to mend.

    Each one is started and closed. A kind of route that `compile` refuses with ValueError is left out; which of
    several fitting routes comes first is the router's own.
    """
    for case in _cases():
        await _check_case(make(), case)
    router = make()
    async with running(router):
        _check_empty(router)
    router = make()
    async with running(router):
        _check_together(router)
    router = make()
    async with running(router):
        _check_parameters(router)


async def _check_case(router: AnyRouter, case: _Case) -> None:
    async with running(router):
        route = Route("only", case.match, _answer)
        if not _compile(router, [route]):
            return
        for taken in map(_request, case.taken):
            where = f"match of {taken!r} with {_shown(case.match)}"
            found = _match(router, taken, where)
            claim(where, found is route, "the route, as every condition holds", repr(found))
            _check_verdicts(router, [route], taken, where)
        for refused in map(_request, case.refused):
            where = f"match of {refused!r} with {_shown(case.match)}"
            found = _match(router, refused, where)
            claim(where, found is None, "None, as a condition does not hold", repr(found))
            _check_verdicts(router, [route], refused, where)


def _check_empty(router: AnyRouter) -> None:
    with calling("compile([])", "it to return, as a gateway may have no routes yet"):
        router.compile([])
    found = _match(router, make_request(), "match without routes")
    claim("match without routes", found is None, "None", repr(found))


def _check_together(router: AnyRouter) -> None:
    routes = [Route(f"r{number}", Match(path=f"/r{number}/*"), _answer, number) for number in range(50)]
    if not _compile(router, routes):
        return
    for number, route in enumerate(routes):
        request = make_request(url=f"/r{number}/x")
        where = f"match of {request!r} among {len(routes)} routes"
        found = _match(router, request, where)
        claim(where, found is route, f"route {route.name}", repr(found))
    _check_verdicts(router, routes, make_request(url="/r7"), "/r7 among 50 routes")


def _check_parameters(router: AnyRouter) -> None:
    if not _compile(router, [Route("user", Match(path="/users/{id}/{what}"), _answer)]):
        return
    request = make_request(url="/users/a%20b/c%2Fd")
    _match(router, request, "match of a template")
    claim(
        "match of a template",
        request.path_params == {"id": "a b", "what": "c/d"},
        "request.path_params to hold the values, percent-decoded: {'id': 'a b', 'what': 'c/d'}",
        repr(request.path_params),
    )


def _check_verdicts(router: AnyRouter, routes: Sequence[Route], request: Request, where: str) -> None:
    where = f"explain, {where}"
    expected = _match(router, request, where)
    request.path_params = {}
    with calling(where, "one verdict for each route"):
        verdicts = router.explain(request)
    named = {id(verdict.route) for verdict in verdicts}
    claim(
        where,
        len(verdicts) == len(routes) and named == {id(route) for route in routes},
        "one verdict for each route",
        repr(verdicts),
    )
    chosen = [verdict.route for verdict in verdicts if verdict.chosen]
    claim(where, chosen == ([expected] if expected else []), f"{expected!r} to be chosen, as by match", repr(chosen))
    claim(where, all(verdict.reason for verdict in verdicts), "a reason in every verdict", repr(verdicts))
    claim(where, request.path_params == {}, "the request to be left as it is", repr(request.path_params))


def _compile(router: AnyRouter, routes: Sequence[Route]) -> bool:
    """Return whether the router can serve `routes`."""
    with calling("compile", "it to return, or a ValueError for a route that it cannot serve"):
        try:
            router.compile(routes)
        except ValueError:
            return False
    return True


def _match(router: AnyRouter, request: Request, where: str) -> Route | None:
    with calling(where, "a route or None"):
        found = router.match(request)
    if inspect.iscoroutine(found):
        found.close()
        claim(where, False, "a route or None at once (match is no `async def`: it never waits)", "a coroutine")
    return found


def _with(header: str, value: str) -> Request:
    return make_request(headers={header: value})


def _request(taken: str | Request) -> Request:
    return make_request(url=taken) if isinstance(taken, str) else taken


def _shown(match: Match) -> str:
    """Return the conditions that are not the default."""
    return (
        "Match(" + ", ".join(f"{name}={value!r}" for name in match.__slots__ if (value := getattr(match, name))) + ")"
    )


async def _answer(request: Request) -> Response:
    return Response.text("ok")
