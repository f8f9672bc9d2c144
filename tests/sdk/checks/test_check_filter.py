from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from meshwright_sdk import Body, CallNext, Filter, MeshwrightError, NoOptions, Request, Response, filter
from meshwright_sdk.testing import build, check_filter, make_request


@filter
async def stamp(request: Request, call_next: CallNext) -> Response:
    request.headers["x-tenant"] = "acme"
    response = await call_next(request)
    response.headers["x-stamp"] = "1"
    return response


@filter
async def forbid(request: Request, call_next: CallNext) -> Response:
    return Response.text("no", status=403)


@filter
async def refuse(request: Request, call_next: CallNext) -> Response:
    raise MeshwrightError("no", status=403)


@filter
async def retry(request: Request, call_next: CallNext) -> Response:
    try:
        return await call_next(request)
    except MeshwrightError:
        if not request.body.replayable:
            raise
        return await call_next(request)


@filter
async def keep_and_retry(request: Request, call_next: CallNext) -> Response:
    await request.body.read(1000)
    return await retry(request, call_next)


@filter
async def retry_unless_spent(request: Request, call_next: CallNext) -> Response:
    try:
        return await call_next(request)
    except MeshwrightError:
        if request.body.spent:
            raise
        return await call_next(request)


@filter
async def shout(request: Request, call_next: CallNext) -> Response:
    response = await call_next(request)
    body = response.body

    async def louder() -> AsyncIterator[bytes]:
        async for chunk in body:
            yield chunk.upper()

    response.body = louder()
    return response


@filter
async def fall_back(request: Request, call_next: CallNext) -> Response:
    response = await call_next(request)
    await response.aclose()
    return Response.text("instead")


@pytest.mark.parametrize("sound", [stamp, forbid, refuse, retry, keep_and_retry, retry_unless_spent, shout, fall_back])
async def test_a_sound_filter_passes(sound: Any) -> None:
    await check_filter(sound)


async def test_a_filter_is_started_before_and_closed_after() -> None:
    events: list[str] = []

    class Noted(Filter[NoOptions]):
        async def start(self) -> None:
            events.append("start")

        async def __call__(self, request: Request, call_next: CallNext) -> Response:
            events.append("call")
            return await call_next(request)

        async def close(self) -> None:
            events.append("close")

    await check_filter(build(Noted))

    assert (events[0], events[-1], set(events[1:-1])) == ("start", "close", {"call"})


async def forgets_return(request: Request, call_next: CallNext) -> Any:
    await call_next(request)


async def crashes(request: Request, call_next: CallNext) -> Response:
    raise KeyError("tenant")


async def returns_closed(request: Request, call_next: CallNext) -> Response:
    response = await call_next(request)
    await response.aclose()
    return response


async def leaks(request: Request, call_next: CallNext) -> Response:
    await call_next(request)
    return Response.text("instead")


async def lies_about_length(request: Request, call_next: CallNext) -> Response:
    response = await call_next(request)
    response._body = Body(b"longer than it says")
    return response


async def streams_text(request: Request, call_next: CallNext) -> Response:
    async def text() -> AsyncIterator[Any]:
        yield "text"

    return Response(200, {}, text())


async def breaks_body(request: Request, call_next: CallNext) -> Response:
    async def broken() -> AsyncIterator[bytes]:
        yield b"1"
        raise OSError("disk")

    return Response(200, {}, broken())


async def eats_the_request(request: Request, call_next: CallNext) -> Response:
    async for _ in request.body:
        pass
    return await call_next(request)


async def resends(request: Request, call_next: CallNext) -> Response:
    try:
        return await call_next(request)
    except MeshwrightError:
        return await call_next(request)


async def chokes_on_failure(request: Request, call_next: CallNext) -> Response:
    try:
        return await call_next(request)
    except MeshwrightError as error:
        return Response.text(error.reason)  # type: ignore[attr-defined]


async def swallows_cancellation(request: Request, call_next: CallNext) -> Response:
    try:
        return await call_next(request)
    except BaseException:
        return Response.text("whatever")


class Forgetful(Filter[NoOptions]):
    """Keeps what belongs to one request on itself."""

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        self.response = await call_next(request)
        await asyncio.sleep(0)
        return self.response


class Mixing(Filter[NoOptions]):
    """Keeps the body of one request on itself."""

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        self.body = response.body
        await asyncio.sleep(0)
        return Response(200, {}, self.body.data or b"") if response.complete else response


class Counting(Filter[NoOptions]):
    """Works once."""

    served = 0

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        self.served += 1
        if self.served > 1:
            raise RuntimeError("only once")
        return await call_next(request)


class Unready(Filter[NoOptions]):
    async def start(self) -> None:
        raise OSError("no connection")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (forgets_return, "filter: expected a Response (is a `return` missing?); got None"),
        (crashes, "filter: expected a Response, or a MeshwrightError; it raised KeyError('tenant')"),
        (returns_closed, "filter: expected a response that is still open"),
        (leaks, "every response of call_next to be returned or closed"),
        (lies_about_length, "a content-length of 19, as is the body (assigning response.body keeps it right); got 5"),
        (streams_text, "response.body: expected chunks of bytes; got 'text'"),
        (breaks_body, "response.body: expected chunks of bytes to its end; it raised OSError('disk')"),
        (eats_the_request, "request.body, in call_next: expected a body that can still be read"),
        (resends, "call_next: expected to be called again only if request.body.replayable"),
        (chokes_on_failure, "it raised AttributeError"),
        (swallows_cancellation, "CancelledError to go on (catch `Exception`, not `BaseException`)"),
        (build(Forgetful), "what belongs to one goes into local variables"),
        (build(Mixing), "what belongs to one goes into local variables"),
        (build(Counting), "it raised RuntimeError('only once')"),
        (build(Unready), "start(): expected it to return; it raised OSError('no connection')"),
    ],
)
async def test_a_broken_filter_is_told_what_to_mend(broken: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        await check_filter(broken)


async def test_a_filter_that_outlives_its_client_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshwright_sdk.testing.checks.filters.PATIENCE_S", 0.05)
    stopped = asyncio.Event()

    async def ignores(request: Request, call_next: CallNext) -> Response:
        while not stopped.is_set():
            with suppress(asyncio.CancelledError):
                return await call_next(request)
        return Response.text("at last")

    with pytest.raises(AssertionError, match="to end when its client goes away"):
        await check_filter(ignores)
    stopped.set()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
        await task


async def test_the_requests_can_lead_into_a_filter() -> None:
    async def crashes_on_post(request: Request, call_next: CallNext) -> Response:
        if request.method == "POST":
            raise RuntimeError("never tried")
        return await call_next(request)

    await check_filter(crashes_on_post)
    with pytest.raises(AssertionError, match="never tried"):
        await check_filter(crashes_on_post, make=lambda: make_request("POST"))
