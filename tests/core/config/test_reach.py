from __future__ import annotations

import pytest

from meshwright.config import PluginUse
from meshwright.config.reach import unreachable
from meshwright_plugins.routers.table import Table
from meshwright_sdk import Request, Response, Route
from meshwright_sdk.testing import build, make_request
from tests.core.config.samples import loaded

SERVICES = "services: {s: {app: 'a:b'}}"


def warnings(*matches: str) -> list[str]:
    routes = "".join(f"  - {{match: {match}, to: s}}\n" for match in matches)
    return [str(each) for each in loaded(f"{SERVICES}\nroutes:\n{routes}").warnings()]


@pytest.mark.parametrize(
    ("first", "second", "unreachable"),
    [
        ("{}", "{path_regex: /a}", [1]),
        ("{path_regex: /a}", "{path: '/*'}", [0]),
        ("{host: a.b}", "{host: a.b, path_regex: /a, methods: GET}", [1]),
        ("{host: [a.b, c.d]}", "{host: [c.d, a.b], path_regex: /a}", [1]),
        ("{path: '/u/{id}'}", "{path: '/u/{name}'}", [1]),
        ("{path: /a, headers: {X: '1'}}", "{path: /a, headers: {x: '1'}}", [1]),
        ("{path: /a, methods: [GET, POST]}", "{path: /a, methods: POST}", [1]),
        ("{}", "{path: '/*'}", [1]),
        # Those below can be reached.
        ("{}", "{host: a.b, path_regex: /a}", []),
        ("{host: a.b}", "{host: [a.b, c.d], path_regex: /a}", []),
        ("{host: '*.b'}", "{host: a.b, path_regex: /a}", []),
        ("{methods: GET}", "{path_regex: /a}", []),
        ("{headers: {x: '1'}}", "{path_regex: /a}", []),
        ("{path: '/a/*'}", "{path_regex: /a/b}", []),
        ("{}", "{path: /a}", []),
        ("{path: /a}", "{path: /a, methods: GET}", []),
        ("{path: /a, methods: GET}", "{path: /a}", []),
        ("{path: /a, methods: GET}", "{path: /a, methods: [GET, POST]}", []),
        ("{path: /a, query: {x: '1'}}", "{path: /a, query: {x: '2'}}", []),
        ("{path: /a, query: {x: '1'}}", "{path: /a, cookies: {x: '1'}}", []),
        ("{path: /a, query: {x: {present: true}}}", "{path: /a, query: {x: {present: false}}}", []),
    ],
)
def test_what_no_request_can_reach_is_told(first: str, second: str, unreachable: list[int]) -> None:
    found = warnings(first, second)

    assert len(found) == len(unreachable)
    for place, told in zip(unreachable, found, strict=True):
        assert told.startswith(f"gateway.yaml:{place + 3}: routes[{place}]: expected a route that some request can")
        assert f'got one whose requests all go to "route-{1 - place}" (line {4 - place})' in told


def test_of_another_router_nothing_is_known() -> None:
    config = loaded(f"{SERVICES}\nroutes: [{{to: s}}, {{to: s}}]")

    assert len(config.warnings()) == 1
    assert not list(unreachable(config.config.model_copy(update={"router": PluginUse("other")})))


def test_the_router_agrees() -> None:
    config = loaded(f"{SERVICES}\nroutes: [{{match: {{path_regex: /a}}, to: s}}, {{to: s}}]").config
    table = build(Table)
    table.compile([Route(each.name or "", each.match.compiled(), answer) for each in config.routes])

    route = table.match(make_request("GET", "/a"))

    assert route is not None
    assert route.name == "route-1"


async def answer(request: Request) -> Response:
    return Response()
