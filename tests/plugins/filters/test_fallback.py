from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from meshwright_plugins.filters.fallback import Fallback
from meshwright_sdk import (
    Body,
    CircuitOpenError,
    ConnectError,
    Context,
    DownstreamError,
    Identity,
    Match,
    NoEndpointsError,
    OverloadError,
    PluginError,
    Request,
    Response,
    Route,
    UpstreamTimeoutError,
)
from meshwright_sdk.testing import FakeUpstream, ManualClock, build, check_filter, gateway, make_request

INSTEAD: dict[str, Any] = {"respond": {"text": "instead"}}


async def answer(fallback: Fallback, upstream: FakeUpstream, **request: Any) -> tuple[int, str | None, bytes]:
    """Return the status, the mark and the content of an answer."""
    response = await fallback(make_request(**request), upstream)
    return response.status, response.headers.get("x-degraded"), await response.body.read(10_000)


async def test_it_keeps_to_the_contract_of_filters() -> None:
    await check_filter(build(Fallback, last_good={}, respond={"text": "instead"}))


async def test_an_answer_of_the_service_is_left_alone() -> None:
    assert await answer(build(Fallback, **INSTEAD), FakeUpstream()) == (200, None, b"ok")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CircuitOpenError("open"), "open"),
        (ConnectError("refused"), "failed"),
        (NoEndpointsError("none"), "failed"),
        (UpstreamTimeoutError("late"), "timeout"),
        (OverloadError("full"), "shed"),
    ],
)
async def test_a_failure_is_answered_and_the_answer_says_why(error: Exception, reason: str) -> None:
    assert await answer(build(Fallback, **INSTEAD), FakeUpstream(error)) == (200, reason, b"instead")


@pytest.mark.parametrize("error", [DownstreamError("bad"), PluginError("broken"), ValueError("broken")])
async def test_what_the_service_is_not_to_blame_for_goes_on(error: Exception) -> None:
    with pytest.raises(type(error)):
        await answer(build(Fallback, **INSTEAD), FakeUpstream(error))


async def test_only_the_reasons_asked_for_count() -> None:
    fallback = build(Fallback, on=["timeout", "503"], **INSTEAD)

    with pytest.raises(ConnectError):
        await answer(fallback, FakeUpstream(ConnectError("refused")))
    assert await answer(fallback, FakeUpstream(Response(502))) == (502, None, b"")
    assert await answer(fallback, FakeUpstream(Response(503))) == (200, "503", b"instead")


async def test_the_answer_that_is_replaced_is_closed() -> None:
    replaced = Response(503)

    await build(Fallback, on="5xx", **INSTEAD)(make_request(), FakeUpstream(replaced))

    assert replaced.closed


async def test_the_last_good_answer_comes_again_with_its_age() -> None:
    clock = ManualClock()
    fallback = build(Fallback, last_good={"max_age": "1m"}, clock=clock)
    good = Response.text("fresh")
    good.headers["set-cookie"] = "a=b"
    await fallback(make_request(url="/a?b=1"), FakeUpstream(good))
    await clock.advance(30)

    response = await fallback(make_request(url="/a?b=1"), FakeUpstream(ConnectError("refused")))

    assert (response.status, response.body.data, response.headers["age"]) == (200, b"fresh", "30")
    assert "set-cookie" not in response.headers
    with pytest.raises(ConnectError):
        await answer(fallback, FakeUpstream(ConnectError("refused")), url="/a?b=2")
    await clock.advance(31)
    with pytest.raises(ConnectError):
        await answer(fallback, FakeUpstream(ConnectError("refused")), url="/a?b=1")


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_streamed_answer_is_kept_when_it_has_passed_by() -> None:
    fallback = build(Fallback, last_good={"max_body": "8B"})
    short = Response(200, {}, Body.stream(chunks(b"ab", b"cd")))
    long = Response(200, {}, Body.stream(chunks(b"abcd", b"efghi")))

    assert await answer(fallback, FakeUpstream(short), url="/short") == (200, None, b"abcd")
    assert await answer(fallback, FakeUpstream(long), url="/long") == (200, None, b"abcdefghi")

    assert await answer(fallback, FakeUpstream(ConnectError("x")), url="/short") == (200, "failed", b"abcd")
    with pytest.raises(ConnectError):
        await answer(fallback, FakeUpstream(ConnectError("x")), url="/long")


@pytest.mark.parametrize(
    ("request_", "headers"),
    [
        ({"method": "POST"}, {}),
        ({"headers": {"authorization": "Bearer x"}}, {}),
        ({"headers": {"cookie": "a=b"}}, {}),
        ({}, {"cache-control": "private, max-age=3"}),
        ({}, {"cache-control": "no-store"}),
    ],
)
async def test_what_is_somebodys_own_is_not_kept(request_: dict[str, Any], headers: dict[str, str]) -> None:
    fallback = build(Fallback, last_good={})

    await fallback(make_request(**request_), FakeUpstream(Response(200, headers, b"mine")))

    with pytest.raises(ConnectError):
        await answer(fallback, FakeUpstream(ConnectError("x")), **request_)


ANN, BOB = (Identity(subject=name, method="api_key") for name in ("ann", "bob"))


def asked_by(who: Identity | None) -> Request:
    request = make_request()
    request.identity = who
    return request


async def test_an_answer_to_somebody_who_is_known_is_kept_under_a_key_of_ones_own_only() -> None:
    for options, kept in (({}, 0), ({"key": "subject"}, 1)):
        fallback = build(Fallback, last_good=options)
        await fallback(asked_by(ANN), FakeUpstream(Response.text("ann's")))

        assert fallback.state()["kept_answers"] == kept
        for other in (BOB, None):
            with pytest.raises(ConnectError):
                await fallback(asked_by(other), FakeUpstream(ConnectError("x")))


@pytest.mark.parametrize("options", [{}, {"key": "subject"}])
async def test_an_answer_to_somebody_whom_a_filter_further_in_has_found_out_is_not_kept(
    options: dict[str, str],
) -> None:
    def authenticated(request: Request) -> Response:
        request.identity = ANN
        return Response.text("ann's")

    fallback = build(Fallback, last_good=options)
    await fallback(make_request(), FakeUpstream(authenticated))

    assert fallback.state()["kept_answers"] == 0


async def test_what_is_kept_is_bounded_in_bytes_and_in_number() -> None:
    many = build(Fallback, last_good={"max_answers": 10})
    large = build(Fallback, last_good={"max_size": "10kB", "max_body": "5kB"})
    for number in range(100):
        await many(make_request(url=f"/{number}"), FakeUpstream())
        await large(make_request(url=f"/{number}"), FakeUpstream(Response(200, {}, b"x" * 2000)))

    assert (many.state()["kept_answers"], large.state()["kept_answers"]) == (10, 3)


async def test_keys_and_heads_count_as_bytes_too() -> None:
    fallback = build(Fallback, last_good={"max_size": "20kB"})
    for number in range(10):
        await fallback(make_request(url=f"/{number}?{'q' * 4000}"), FakeUpstream(Response(200, {"x": "y" * 4000})))

    assert fallback.state()["kept_answers"] == 2


@pytest.mark.parametrize(
    "answered",
    [
        Response(206, {"content-range": "bytes 0-0/9"}, b"a"),
        Response(200, {"vary": "accept, *"}, b"a"),
        Response(200, {"content-type": "text/event-stream"}, b"data: a\n\n"),
    ],
)
async def test_what_is_no_whole_answer_for_everybody_is_not_kept(answered: Response) -> None:
    fallback = build(Fallback, last_good={})
    await fallback(make_request(headers={"range": "bytes=0-0"}), FakeUpstream(answered))

    with pytest.raises(ConnectError):
        await answer(fallback, FakeUpstream(ConnectError("x")))


async def test_an_answer_that_varies_is_given_to_requests_that_say_the_same() -> None:
    fallback = build(Fallback, last_good={})
    packed = Response(200, {"vary": "Accept-Encoding, x-a", "content-encoding": "br"}, b"packed")
    await fallback(make_request(headers={"accept-encoding": "br"}), FakeUpstream(packed))

    again = {"headers": {"accept-encoding": "br"}}
    assert await answer(fallback, FakeUpstream(ConnectError("x")), **again) == (200, "failed", b"packed")
    for other in ({}, {"accept-encoding": "gzip"}, {"accept-encoding": "br", "x-a": "1"}):
        with pytest.raises(ConnectError):
            await answer(fallback, FakeUpstream(ConnectError("x")), headers=other)


async def test_a_field_in_several_lines_counts_as_a_whole() -> None:
    fallback = build(Fallback, last_good={})

    def request(*plans: str) -> Request:
        made = make_request()
        for plan in plans:
            made.headers.add("x-plan", plan)
        return made

    await fallback(request("a", "b"), FakeUpstream(Response(200, {"vary": "x-plan"}, b"both")))

    assert (await fallback(request("a,b"), FakeUpstream(ConnectError("x")))).body.data == b"both"
    for plans in ((), ("a",), ("a", "c")):
        with pytest.raises(ConnectError):
            await fallback(request(*plans), FakeUpstream(ConnectError("x")))


@pytest.mark.parametrize("changed", ["path", "authorization", "accept-encoding"])
async def test_an_answer_is_kept_for_what_was_asked_before_filters_further_in_changed_it(changed: str) -> None:
    fallback = build(Fallback, last_good={})

    def change(request: Request) -> None:
        if changed == "path":
            request.path = f"/inner{request.path}"
        else:
            request.headers[changed] = "x"

    def good(request: Request) -> Response:
        change(request)
        return Response(200, {"vary": "accept-encoding"}, b"packed")

    def bad(request: Request) -> Response:
        change(request)
        raise ConnectError("x")

    br, gzip = {"accept-encoding": "br"}, {"accept-encoding": "gzip"}
    await fallback(make_request(url="/a", headers=br), FakeUpstream(good))

    assert await answer(fallback, FakeUpstream(bad), url="/a", headers=br) == (200, "failed", b"packed")
    for url, headers in (("/b", br), ("/inner/a", br), ("/a", gzip)):
        with pytest.raises(ConnectError):
            await answer(fallback, FakeUpstream(ConnectError("x")), url=url, headers=headers)
        with pytest.raises(ConnectError):
            await answer(fallback, FakeUpstream(bad), url=url, headers=headers)


async def test_a_key_of_ones_own_says_what_has_an_answer() -> None:
    fallback = build(Fallback, last_good={"key": "header:x-user"})
    await fallback(make_request(headers={"x-user": "ann", "cookie": "a"}), FakeUpstream(Response.text("ann's")))

    assert (await answer(fallback, FakeUpstream(ConnectError("x")), headers={"x-user": "ann"}))[2] == b"ann's"
    with pytest.raises(ConnectError):
        await answer(fallback, FakeUpstream(ConnectError("x")), headers={"x-user": "bob"})


async def test_an_answer_is_kept_for_the_port_that_was_asked_for() -> None:
    fallback = build(Fallback, last_good={})
    await fallback(make_request(headers={"host": "a:1337"}), FakeUpstream(Response.text("see http://a:1337/")))

    with pytest.raises(ConnectError):
        await answer(fallback, FakeUpstream(ConnectError("x")), headers={"host": "a"})


@pytest.mark.parametrize("options", [{}, {"key": "path"}])
async def test_a_fallback_of_every_route_keeps_the_answers_of_each_apart(options: dict[str, str]) -> None:
    fallback = build(Fallback, last_good=options)

    def on(route: str) -> Request:
        request = make_request()
        request.route = Route(route, Match(), FakeUpstream())
        return request

    await fallback(on("beta"), FakeUpstream(Response.text("beta")))

    assert (await fallback(on("beta"), FakeUpstream(ConnectError("x")))).body.data == b"beta"
    with pytest.raises(ConnectError):
        await fallback(on("stable"), FakeUpstream(ConnectError("x")))


def with_service(*answers: Any, **options: Any) -> tuple[Fallback, list[tuple[str, Request]]]:
    called: list[tuple[str, Request]] = []
    other = FakeUpstream(*answers)

    async def call(name: str, request: Request) -> Response:
        called.append((name, request))
        return await other(request)

    return build(Fallback, service="other", context=Context(call=call), **options), called


async def test_another_service_gets_the_same_request() -> None:
    fallback, called = with_service(Response.text("other"))
    request = make_request("POST", body=b"order")

    response = await fallback(request, FakeUpstream(ConnectError("x")))

    assert (response.body.data, response.headers["x-degraded"]) == (b"other", "failed")
    assert called == [("other", request)]


async def test_a_request_that_was_streamed_away_goes_to_no_other_service() -> None:
    fallback, called = with_service(Response.text("other"), respond={"text": "instead"})
    request = make_request("POST", body=chunks(b"order"))
    request.body.take()

    response = await fallback(request, FakeUpstream(ConnectError("x")))

    assert (response.body.data, called) == (b"instead", [])


async def test_the_next_one_is_tried_when_one_fails_too(caplog: pytest.LogCaptureFixture) -> None:
    fallback, called = with_service(ConnectError("also"), respond={"text": "instead"})

    response = await fallback(make_request(), FakeUpstream(ConnectError("x")))

    assert (response.body.data, len(called)) == (b"instead", 1)
    assert "a fallback failed too" in caplog.text


async def test_what_went_wrong_goes_on_when_there_is_nothing_to_give() -> None:
    fallback = build(Fallback, last_good={}, on=["failed", "503"])

    with pytest.raises(ConnectError):
        await answer(fallback, FakeUpstream(ConnectError("x")))
    assert (await answer(fallback, FakeUpstream(Response(503))))[0] == 503


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("shop_fallbacks")

    async def orders(request: Request, error: Exception | None) -> Response | None:
        return Response.json({"path": request.path, "error": type(error).__name__})

    async def nothing(request: Request, error: Exception | None) -> Response | None:
        return None

    module.__dict__.update(orders=orders, nothing=nothing)
    monkeypatch.setitem(sys.modules, "shop_fallbacks", module)
    return module


async def test_a_function_is_given_the_request_and_the_error(module: ModuleType) -> None:
    fallback = build(Fallback, call="shop_fallbacks:orders")

    assert (await answer(fallback, FakeUpstream(ConnectError("x")), url="/a"))[
        2
    ] == b'{"path":"/a","error":"ConnectError"}'


async def test_a_function_may_have_nothing_to_give(module: ModuleType) -> None:
    fallback = build(Fallback, call="shop_fallbacks:nothing", **INSTEAD)

    assert (await answer(fallback, FakeUpstream(ConnectError("x"))))[2] == b"instead"


async def test_a_route_is_degraded_by_hand_and_restored() -> None:
    fallback, upstream = build(Fallback, **INSTEAD), FakeUpstream()

    fallback.act("degrade", {})
    degraded = await answer(fallback, upstream)
    shown = fallback.state()
    fallback.act("restore", {})
    restored = await answer(fallback, upstream)

    assert (degraded, restored) == ((200, "manual", b"instead"), (200, None, b"ok"))
    assert (shown["degraded_by_hand"], shown["degraded"]["manual"]) == (True, 1)
    assert len(upstream.requests) == 1
    with pytest.raises(ValueError, match="expected none"):
        fallback.act("degrade", {"route": "x"})


@pytest.mark.parametrize(
    "options",
    [{}, {"on": ["sometimes"], **INSTEAD}, {"on": [], **INSTEAD}, {"call": "nowhere"}, {"respond": {"status": 99}}],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(Fallback, **options)


def test_a_function_that_is_not_there_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="call: expected nowhere:x to import; got ModuleNotFoundError"):
        build(Fallback, call="nowhere:x")


YAML = """
listeners: [{name: web, bind: "127.0.0.1:0"}]
routes:
  - name: orders
    filters: [{fallback: {last_good: {}, service: SERVICE}}]
    to: dead
services:
  dead: {endpoints: ["http://127.0.0.1:1"]}
  spare: {endpoints: ["http://127.0.0.1:1"], filters: [{respond: {text: spare}}]}
"""


async def test_a_dead_service_is_replaced_over_real_sockets() -> None:
    async with gateway(YAML.replace("SERVICE", "spare")) as running, httpx.AsyncClient() as client:
        answered = await client.get(running.url)

    assert (answered.status_code, answered.text, answered.headers["x-degraded"]) == (200, "spare", "failed")


async def test_a_service_that_there_is_not_is_found_before(tmp_path: Path) -> None:
    with pytest.raises(
        Exception, match=r"routes\[0\].filters\[0\].fallback.service: expected one of the services dead or spare"
    ):
        async with gateway(YAML.replace("SERVICE", "spear"), base_dir=tmp_path):
            pass
