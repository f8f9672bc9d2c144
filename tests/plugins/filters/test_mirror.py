from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from aiohttp import web
from pydantic import ValidationError

from meshwright_plugins.filters.mirror import Mirror
from meshwright_plugins.filters.mirror.compare import Answer, CompareOptions, Comparison
from meshwright_sdk import Body, ConnectError, Context, Request, Response, Tasks
from meshwright_sdk.testing import FakeUpstream, build, check_filter, gateway, make_request

Call = Callable[[str, Request], Awaitable[Response]]


def mirror_to(call: Call, **options: Any) -> Mirror:
    return build(Mirror, to="next", context=Context(call=call, tasks=Tasks()), **options)


class Next:
    """The service that gets the copies."""

    def __init__(self, *answers: Any) -> None:
        self.upstream = FakeUpstream(*answers)
        self.held = asyncio.Event()
        self.held.set()

    async def __call__(self, name: str, request: Request) -> Response:
        assert name == "next"
        await self.held.wait()
        return await self.upstream(request)


async def settled(mirror: Mirror) -> dict[str, Any]:
    """Return the state when no copy is on its way any more."""
    await mirror.context.tasks.close(grace_s=5)
    return dict(mirror.state())


async def test_it_keeps_to_the_contract_of_filters() -> None:
    await check_filter(mirror_to(Next(), compare={}))


async def test_the_service_gets_a_marked_copy_and_the_client_the_original() -> None:
    other, upstream = Next(Response.text("copy")), FakeUpstream(Response.text("original"))
    mirror = mirror_to(other)
    request = make_request("POST", "/a?b=1", headers={"x-tenant": "acme"}, body=b"order")

    response = await mirror(request, upstream)
    state = await settled(mirror)

    (copy,) = other.upstream.requests
    assert response.body.data == b"original"
    assert upstream.requests == [request]
    assert (copy.method, copy.target, copy.body.data) == ("POST", "/a?b=1", b"order")
    assert (copy.headers["x-mirrored"], copy.headers["x-tenant"]) == ("1", "acme")
    assert "x-mirrored" not in request.headers
    assert (state["sent"], state["failed"]) == (1, 0)


async def test_the_answer_to_a_copy_is_closed_and_is_none_of_the_originals() -> None:
    answer = Response.text("copy")
    mirror, request = mirror_to(Next(answer)), make_request()

    await mirror(request, FakeUpstream())
    await settled(mirror)

    assert answer.closed
    assert answer not in (request.answers or [])


async def test_a_copy_that_hangs_or_fails_changes_nothing() -> None:
    hanging, failing = Next(), Next(ConnectError("refused"))
    hanging.held.clear()
    slow, broken = mirror_to(hanging, timeout="10ms"), mirror_to(failing)

    for mirror in (slow, broken):
        assert (await mirror(make_request(), FakeUpstream())).status == 200

    assert [(await settled(mirror))["failed"] for mirror in (slow, broken)] == [1, 1]


async def test_copies_are_dropped_when_there_are_enough_on_their_way() -> None:
    other = Next()
    other.held.clear()
    mirror = mirror_to(other, max_in_flight=3)

    for _ in range(10):
        await mirror(make_request(), FakeUpstream())
    other.held.set()
    state = await settled(mirror)

    assert (state["sent"], state["dropped"]) == (3, 7)


async def test_a_share_of_the_requests_is_copied() -> None:
    mirror = mirror_to(Next(), share="20%", max_in_flight=1000)

    for _ in range(1000):
        await mirror(make_request(), FakeUpstream())

    assert 150 <= (await settled(mirror))["sent"] <= 250


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.parametrize(
    ("body", "copied"),
    [
        (Body.stream(chunks(b"ab", b"cd"), length=4), True),
        (Body.stream(chunks(b"ab", b"cd")), False),
        (Body.stream(chunks(b"abc", b"def"), length=6), False),
        (Body(b"abcdef"), False),
    ],
)
async def test_content_is_copied_as_far_as_it_is_known_to_be_short(body: Body, copied: bool) -> None:
    other, upstream = Next(), FakeUpstream()
    mirror = mirror_to(other, max_body="4B")
    request = make_request("POST")
    request.body = body

    await mirror(request, upstream)

    assert (await settled(mirror))["sent"] == copied
    assert await upstream.requests[0].body.read(10) in (b"abcd", b"abcdef")


async def test_an_upgrade_is_not_copied() -> None:
    mirror = mirror_to(Next())

    await mirror(make_request(headers={"upgrade": "websocket", "connection": "upgrade"}), FakeUpstream())

    assert (await settled(mirror))["sent"] == 0


@pytest.mark.parametrize(
    ("own", "copy", "different"),
    [
        (Response.json({"a": 1}), Response.json({"a": 1}), []),
        (Response.json({"a": 1}), Response.json({"a": 2}), ["body.a"]),
        (Response(200), Response(404), ["status 200 and 404"]),
        (Response(200, {}, Body.stream(chunks(b"ab", b"c"))), Response(200, {}, b"abc"), []),
    ],
)
async def test_answers_are_compared(own: Response, copy: Response, different: list[str]) -> None:
    mirror = mirror_to(Next(copy), compare={})

    response = await mirror(make_request(url="/a?secret=1"), FakeUpstream(own))
    await response.body.read(100)
    state = await settled(mirror)

    assert (state["different"], state["same"]) == ((1, 0) if different else (0, 1))
    assert state["last_differences"] == [f"GET /a: {', '.join(different)}" for _ in range(1) if different]


async def test_answers_that_are_too_long_or_break_off_are_not_compared() -> None:
    mirror = mirror_to(Next(lambda request: Response.text("a")), compare={}, max_body="3B")

    await mirror(make_request(), FakeUpstream(Response.text("abcd")))
    broken = await mirror(make_request(), FakeUpstream(Response(200, {}, Body.stream(chunks(b"a", b"b")))))
    await broken.aclose()
    with pytest.raises(ConnectError):
        await mirror(make_request(), FakeUpstream(ConnectError("refused")))
    state = await settled(mirror)

    assert (state["incomparable"], state["same"], state["different"]) == (3, 0, 0)


def places(one: Any, other: Any, **options: Any) -> list[str]:
    answers = (Answer(200, {}, json.dumps(each).encode()) for each in (one, other))
    return Comparison(CompareOptions.model_validate(options)).differences(*answers)


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ({"a": [1, 2]}, {"a": [1, 3]}, ["body.a[1]"]),
        ({"a": [1, 2]}, {"a": [1]}, ["body.a"]),
        ({"a": 1}, {"b": 1}, ["body.a", "body.b"]),
        ({"a": 1}, {"a": True}, ["body.a"]),
        ({"a": {"b": None}}, {"a": {"b": 0}}, ["body.a.b"]),
        ([1], {"a": 1}, ["body"]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
    ],
)
def test_differences_are_told_by_their_place(one: Any, other: Any, found: list[str]) -> None:
    assert places(one, other) == found


def test_places_that_may_differ_are_ignored() -> None:
    one = {"at": 1, "items": [{"id": 1, "n": 1}, {"id": 2, "n": 2}], "meta": {"x": 1, "y": {"z": 1}}}
    other = {"at": 2, "items": [{"id": 3, "n": 1}, {"id": 4, "n": 3}], "meta": {"x": 2, "y": {"z": 2}, "new": 1}}

    assert places(one, other, ignore=["at", "items[].id", "meta.*"]) == ["body.items[1].n"]


def test_only_so_many_places_are_told() -> None:
    assert len(places(list(range(100)), list(range(1, 101)))) == 20


def test_headers_are_compared_as_far_as_they_are_named() -> None:
    comparison = Comparison(CompareOptions(headers=("etag",)))

    assert comparison.differences(Answer(200, {"etag": "a", "date": "x"}, b""), Answer(200, {"date": "y"}, b"")) == [
        "header etag"
    ]


def test_it_needs_a_service() -> None:
    with pytest.raises(ValidationError):
        build(Mirror)


YAML = """
listeners: [{name: web, bind: "127.0.0.1:0"}]
routes:
  - name: all
    filters: [{mirror: {to: next, compare: {}}}]
    to: now
services:
  now: {endpoints: ["URL"]}
  next: {endpoints: ["URL"]}
"""


async def test_copies_reach_a_real_service() -> None:
    seen: list[str | None] = []
    both = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("x-mirrored"))
        if len(seen) == 2:
            both.set()
        return web.Response(text=await request.text())

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with gateway(YAML.replace("URL", url)) as running, httpx.AsyncClient() as client:
            answered = await client.post(running.url, content=b"order")
            await asyncio.wait_for(both.wait(), 5)
    finally:
        await runner.cleanup()

    assert (answered.status_code, answered.text) == (200, "order")
    assert sorted(seen, key=str) == ["1", None]
