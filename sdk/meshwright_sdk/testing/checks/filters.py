"""`check_filter`: what every filter has to hold to, whatever it is for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from meshwright_sdk.body import Body
from meshwright_sdk.errors import ConnectError, MeshwrightError
from meshwright_sdk.filters import CallNext, FilterCall
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.tasks import Tasks
from meshwright_sdk.testing.checks.claims import PATIENCE_S, calling, claim, running
from meshwright_sdk.testing.messages import make_request

_NO_CONTENT = (204, 304)
_OWN = "meshwright.check"


async def check_filter(filter: FilterCall, *, make: Callable[[], Request] = make_request) -> None:
    """Run `filter` through its contract; raises AssertionError that says what to mend.

    `make` builds the requests it is tried with, such as one that it lets pass: the more of its ways they lead
    into, the more is checked. It is started and closed.
    """
    async with running(filter):
        await _answers(filter, make)
        await _lets_a_streamed_body_flow(filter, make)
        await _takes_a_failure(filter, make)
        await _does_not_send_a_stream_again(filter, make)
        await _keeps_requests_apart(filter, make)
        await _can_be_cancelled(filter, make)


class _Upstream:
    """The rest of the chain: streams the answer, and keeps every response that it gave."""

    def __init__(self) -> None:
        self.given: list[Response] = []

    async def __call__(self, request: Request) -> Response:
        response = Response(
            200, {"content-type": "text/plain", "content-length": "5"}, Body.stream(_chunks(), length=5)
        )
        self.given.append(response)
        return response


async def _chunks() -> AsyncIterator[bytes]:
    yield b"hel"
    yield b"lo"


async def _call(filter: FilterCall, request: Request, call_next: CallNext) -> Response:
    """Return the filter's response, claimed to be one; errors of the gateway's own go on."""
    with calling("filter", "a Response, or a MeshwrightError"):
        try:
            response: Any = await filter(request, call_next)
        except MeshwrightError as error:
            return Response.json({"code": error.code}, status=error.status)
    claim("filter", isinstance(response, Response), "a Response (is a `return` missing?)", repr(response))
    assert isinstance(response, Response)
    claim(
        "filter", not response.closed, "a response that is still open, as its body has yet to be sent", repr(response)
    )
    return response


async def _finish(response: Response, method: str = "GET") -> bytes:
    """Read the body to its end, as the gateway does, and end the response's life."""
    content = b""
    with calling("response.body", "chunks of bytes to its end"):
        async with asyncio.timeout(PATIENCE_S):
            async for chunk in response.body:
                claim("response.body", isinstance(chunk, bytes), "chunks of bytes", repr(chunk))
                content += chunk
    with calling("response.aclose()", "the response to end without an error"):
        await response.aclose()
    said = response.headers.get("content-length")
    if said is not None and method != "HEAD" and response.status not in _NO_CONTENT:
        claim(
            "response.headers",
            said == str(len(content)),
            f"a content-length of {len(content)}, as is the body (assigning response.body keeps it right)",
            said,
        )
    return content


async def _answers(filter: FilterCall, make: Callable[[], Request]) -> None:
    """Try it once more than once: what it keeps must not break the next request."""
    for _ in range(3):
        upstream, request = _Upstream(), make()
        await _finish(await _call(filter, request, upstream), request.method)
        claim(
            "filter",
            all(response.closed for response in upstream.given),
            "every response of call_next to be returned or closed (`await response.aclose()` for one that is dropped)",
            "one left open, whose connection is never given back",
        )


async def _lets_a_streamed_body_flow(filter: FilterCall, make: Callable[[], Request]) -> None:
    """Let an upstream read the request's body as it comes; the filter may have read it before, and kept it."""

    async def reading(request: Request) -> Response:
        with calling(
            "request.body, in call_next", "a body that can still be read (`await request.body.read(limit)` keeps it)"
        ):
            content = b"".join([chunk async for chunk in request.body])
        return Response(200, {"content-type": "application/octet-stream"}, content)

    request = make()
    request.body = Body.stream(_chunks())
    await _finish(await _call(filter, request, reading), request.method)


async def _takes_a_failure(filter: FilterCall, make: Callable[[], Request]) -> None:
    async def failing(request: Request) -> Response:
        raise ConnectError("nobody listens")

    request = make()
    await _finish(await _call(filter, request, failing), request.method)


async def _does_not_send_a_stream_again(filter: FilterCall, make: Callable[[], Request]) -> None:
    calls = 0

    async def failing(request: Request) -> Response:
        nonlocal calls
        calls += 1
        claim(
            "call_next",
            calls == 1 or not request.body.spent,
            "to be called again only if request.body.replayable or not yet read, as a stream can be sent once",
            f"call {calls} with a streamed body that an earlier call has taken",
        )
        if not request.body.replayable:
            request.body.take()
        raise ConnectError("nobody listens")

    request = make()
    request.body = Body.stream(_chunks())
    await _finish(await _call(filter, request, failing), request.method)


async def _keeps_requests_apart(filter: FilterCall, make: Callable[[], Request]) -> None:
    """Have two requests in the filter at the same time; each must come back with its own answer."""
    arrived = 0

    async def meeting(request: Request) -> Response:
        nonlocal arrived
        arrived += 1
        for _ in range(20):
            if arrived >= 2:
                break
            await asyncio.sleep(0)
        return Response(200, {}, request.state.get(_OWN, b""))

    async def one(name: bytes) -> Response:
        request = make()
        request.state[_OWN] = name
        return await _call(filter, request, meeting)

    names = (b"check-one", b"check-two")
    first, second = responses = await asyncio.gather(*map(one, names))
    answers = [b"".join([chunk async for chunk in response.body]) for response in responses]
    claim(
        "filter",
        first is not second and answers[0] != names[1] and answers[1] != names[0],
        "its own answer for each of two requests at the same time (one instance serves them all: what belongs to one "
        "goes into local variables)",
        "the other one's",
    )
    for response in responses:
        await response.aclose()


async def _can_be_cancelled(filter: FilterCall, make: Callable[[], Request]) -> None:
    async def waiting(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError("the wait was cancelled")

    task = Tasks().spawn(_call(filter, make(), waiting), name="check_filter")
    await asyncio.sleep(0.01)
    answered = task.done()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
    claim("filter", bool(done), "to end when its client goes away and the request is cancelled", "still running")
    claim(
        "filter",
        answered or task.cancelled(),
        "CancelledError to go on (catch `Exception`, not `BaseException`)",
        "a response to a request that was cancelled",
    )
