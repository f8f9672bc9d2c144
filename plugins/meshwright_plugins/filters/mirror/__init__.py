"""`mirror`: a copy of some requests to another service. Which answer the client gets is never decided here."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from meshwright_plugins.filters.mirror.compare import Answer, CompareOptions, Comparison
from meshwright_sdk import (
    BodyTooLargeError,
    CallNext,
    Context,
    Duration,
    Filter,
    HeaderName,
    Options,
    Percent,
    PositiveDuration,
    Request,
    Response,
    ServiceName,
    Size,
    tee,
)

logger = logging.getLogger("meshwright.mirror")

_RESULTS = ("sent", "failed", "dropped", "same", "different", "incomparable")
_KEPT = 20


class MirrorOptions(Options):
    """Where copies go, of how many requests, and whether answers are compared."""

    to: ServiceName = Field(description="Service that gets the copies; its answers are thrown away.")
    share: Percent = Field(Percent("100%"), description="Share of the requests that are copied, by chance.")
    max_in_flight: PositiveInt = Field(
        100, description="Copies on their way at once, in each worker; while there are so many, no other is made."
    )
    max_body: Size = Field(
        Size("64KiB"), description="Longest content of a request that is copied, and of answers that are compared."
    )
    timeout: PositiveDuration = Field(
        Duration("5s"), description="How long the answer to a copy may take, its content included."
    )
    header: HeaderName | None = Field("x-mirrored", description="Header that marks a copy for the service; null: none.")
    compare: CompareOptions | None = Field(
        None, description="Compare the two answers, and count where they differ; {} compares status and content."
    )


class Mirror(Filter[MirrorOptions]):
    """Send a copy of a share of the requests to another service, beside the original, and throw the answer away.

    The original is never touched: what becomes of a copy, or how long it takes, changes nothing of it, and under load
    copies are dropped rather than queued. A request whose content is streamed is copied when its length is known and at
    most `max_body`; then it is read whole before it goes on. Upgrades are not copied. A copy of a request that writes
    writes too: mirror to a service whose writes harm nobody.

    With `compare` each pair of answers is compared by status, the headers that are named, and the content, as JSON
    where it is. Counts are in `meshwright_mirror_total`, and the last differences, as places without values, at
    `/api/state`. Put it outside of `retry`, which would have each attempt copied.

    Example:
        filters:
          - mirror: {to: shop-next, share: 5%, compare: {headers: [content-type], ignore: [updated_at, "items[].id"]}}
    """

    goes_inside: ClassVar[Mapping[str, str]] = {
        "cache": "requests that the cache answers would be copied too, around it only those that reach a service are",
    }

    def __init__(self, options: MirrorOptions, context: Context) -> None:
        super().__init__(options, context)
        self._share = float(options.share)
        self._chance = context.random.random
        self._header = options.header.encode("ascii") if options.header is not None else b""
        self._comparison = Comparison(options.compare) if options.compare is not None else None
        self._in_flight = 0
        self._differences: deque[str] = deque(maxlen=_KEPT)
        help = "Copies of requests by what became of them."
        self._counts = context.metrics.counters("meshwright_mirror_total", help, "result", _RESULTS, **context.labels)

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        if request.upgrade or (self._share < 1 and self._chance() >= self._share):
            return await call_next(request)
        if self._in_flight >= self.options.max_in_flight or not await self._has_whole_body(request):
            self._counts["dropped"].value += 1
            return await call_next(request)
        pair = _Pair(f"{request.method} {request.path}")
        self._in_flight += 1
        self.context.tasks.spawn(self._send(self._copy(request), pair), name="mirrored request")
        if self._comparison is None:
            return await call_next(request)
        try:
            response = await call_next(request)
        except BaseException:
            pair.come(None)
            raise
        self._note(response, pair)
        return response

    async def _has_whole_body(self, request: Request) -> bool:
        body = request.body
        if body.data is not None:
            return len(body.data) <= self.options.max_body
        if body.spent or body.length is None or body.length > self.options.max_body:
            return False
        try:
            await body.read(int(self.options.max_body))
        except BodyTooLargeError:
            return False
        return True

    def _copy(self, request: Request) -> Request:
        copy = request.apart()
        copy.priority = 0
        if self._header:
            copy.headers.set_bytes(self._header, b"1")
        return copy

    async def _send(self, copy: Request, pair: _Pair) -> None:
        """Send the copy and compare what comes; whatever goes wrong is counted and goes no further."""
        response: Response | None = None
        try:
            async with asyncio.timeout(self.options.timeout):
                response = await self.context.call(self.options.to, copy)
                self._counts["sent"].value += 1
                if self._comparison is not None:
                    await self._compare(response, pair, self._comparison)
        except Exception as error:
            self._counts["failed"].value += 1
            logger.debug("a copy for service %s failed: %r", self.options.to, error)
        finally:
            self._in_flight -= 1
            if response is not None:
                await response.aclose()

    async def _compare(self, response: Response, pair: _Pair, comparison: Comparison) -> None:
        try:
            content = await response.body.read(int(self.options.max_body))
        except BodyTooLargeError:
            self._counts["incomparable"].value += 1
            return
        own = await pair.answer()
        if own is None:
            self._counts["incomparable"].value += 1
            return
        found = comparison.differences(own, Answer(response.status, dict(response.headers.items()), content))
        self._counts["different" if found else "same"].value += 1
        if found:
            self._differences.append(f"{pair.name}: {', '.join(found)}")

    def _note(self, response: Response, pair: _Pair) -> None:
        """Have the client's answer for the comparison when it has passed by."""
        status, headers = response.status, dict(response.headers.items())
        body = tee(
            response.body,
            int(self.options.max_body),
            lambda content: pair.come(content if content is None else Answer(status, headers, content)),
        )
        if body is not response.body:
            response.body = body

    def state(self) -> Mapping[str, Any]:
        counts = {result: int(counter.value) for result, counter in self._counts.items()}
        return {"in_flight": self._in_flight, **counts, "last_differences": list(self._differences)}


class _Pair:
    """The client's answer, once it is there, for the copy's to be compared with."""

    __slots__ = ("name", "own")

    def __init__(self, name: str) -> None:
        self.name = name
        self.own: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

    async def answer(self) -> Answer | None:
        """Wait for the client's answer; None when it is too long or broke off."""
        return await self.own

    def come(self, answer: Answer | None) -> None:
        """Take note of it; the copy may have been given up by now."""
        if not self.own.done():
            self.own.set_result(answer)
