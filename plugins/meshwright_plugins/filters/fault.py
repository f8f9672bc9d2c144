"""`fault`: what goes wrong on purpose, to see who can bear it. Nothing that protects goes in here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from meshwright_sdk import (
    AbortError,
    Body,
    CallNext,
    Context,
    Duration,
    Filter,
    HeaderName,
    MeshwrightError,
    Options,
    Percent,
    Request,
    ResetError,
    Response,
    Size,
    problem,
)

ALL = Percent("100%")
CODE = "fault_injected"
_PIECES_PER_S = 20
"""A throttled body leaves in so many pieces a second, or single bytes where the rate is lower."""


class DelayOptions(Options):
    """A request that waits before it goes on."""

    share: Percent = Field(ALL, description="The share of requests that are delayed.")
    time: Duration = Field(description="How long, or how long at least.")
    up_to: Duration | None = Field(None, description="How long at most; each request gets a time in between.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.up_to is not None and self.up_to < self.time:
            raise ValueError(f"expected up_to to be {self.time} or more; got {self.up_to}")
        return self


class AbortOptions(Options):
    """A request that never reaches the service."""

    share: Percent = Field(ALL, description="The share of requests that are aborted.")
    status: Annotated[int, Field(strict=True, ge=400, le=599)] | None = Field(
        None, description="The status of an answer in place of the service's, 400 to 599."
    )
    connection: Literal["service", "client"] | None = Field(
        None,
        description="Whose connection breaks off, in place of an answer: `service` looks as if the service had reset "
        "it, `client` breaks the client's off.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.status is None) == (self.connection is None):
            raise ValueError(
                f"expected one of status and connection; got {'neither' if self.status is None else 'both'}"
            )
        return self


class BodyOptions(Options):
    """A response whose body does not come as it should."""

    share: Percent = Field(ALL, description="The share of responses.")
    cut_after: Size | None = Field(None, description="Break the client's connection off after so much of the body.")
    rate: Size | None = Field(None, description="How much of the body leaves in a second.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.cut_after is None and self.rate is None:
            raise ValueError("expected cut_after or rate; got neither")
        if self.rate == 0:
            raise ValueError("expected a rate above 0B; got 0B")
        return self


class FaultOptions(Options):
    """What goes wrong, and for whom."""

    delay: DelayOptions | None = Field(None, description="Requests that wait first.")
    abort: AbortOptions | None = Field(None, description="Requests that never reach the service.")
    body: BodyOptions | None = Field(None, description="Responses that are cut off, or slow.")
    header: HeaderName | None = Field(
        None,
        description="Disturb only requests with this header; it does not reach the service. Whoever can send it can "
        "disturb only himself, but holds a request open as long as a delay lasts.",
    )
    max_delayed: PositiveInt = Field(100, description="Requests that are delayed at once; others pass undelayed.")
    active: bool = Field(True, description="Begin at once; otherwise when the admin API says `on`.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.delay is None and self.abort is None and self.body is None:
            raise ValueError("expected delay, abort or body; got none")
        return self


class Fault(Filter[FaultOptions]):
    """Delay requests, abort them, or spoil the bodies of responses, for tests of what can bear it.

    Each kind of fault hits its own share of the requests, by chance: first the delay, then the abort, and for those
    that get an answer the body. An aborted request never reaches the service. It is answered with `status`, as by a
    service that fails, and the code `fault_injected`; or a connection breaks off. The client's does so without an
    answer; under a foreign ASGI server, which answers whatever was not begun, after a head whose body never comes.

    With `header` only requests that carry it are disturbed; without it all are. At the admin API the actions `on` and
    `off` begin and end it, in every worker, until the next change of its options.

    Put it innermost, in the `filters` of a service, to have the service fail: then retries, breakers and
    fallbacks see it. Put it outermost to have the gateway fail for its clients.

    Metrics: `meshwright_fault_total`, by `service`, `route` and `kind`: `delay`, `abort` or `body`.

    Example:
        filters:
          - fault:
              delay: {share: 10%, time: 100ms, up_to: 2s}
              abort: {share: 1%, status: 503}
    """

    actions: ClassVar[Mapping[str, str]] = {
        "off": "Let everything pass undisturbed.",
        "on": "Disturb requests as the options say.",
    }

    def __init__(self, options: FaultOptions, context: Context) -> None:
        super().__init__(options, context)
        self._active = options.active
        self._header = options.header.encode("ascii") if options.header is not None else None
        self._delayed = 0
        self._chance = context.random.random
        self._counts = context.metrics.counters(
            "meshwright_fault_total", "Faults injected.", "kind", ("delay", "abort", "body"), **context.labels
        )

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        if not self._active or not self._is_meant(request):
            return await call_next(request)
        options = self.options
        if options.delay is not None and self._chance() < options.delay.share:
            await self._delay(options.delay)
        if options.abort is not None and self._chance() < options.abort.share:
            self._counts["abort"].value += 1
            return _aborted(options.abort, request)
        response = await call_next(request)
        if options.body is not None and self._chance() < options.body.share:
            self._counts["body"].value += 1
            self._spoil(response, options.body)
        return response

    def state(self) -> Mapping[str, Any]:
        """Return whether it is on, and what it has done."""
        counts = {kind: int(counter.value) for kind, counter in self._counts.items()}
        return {"active": self._active, "delayed_now": self._delayed, "injected": counts}

    def act(self, action: str, arguments: Mapping[str, str]) -> None:
        """Begin or end."""
        if arguments:
            raise ValueError(f"arguments: expected none; got {', '.join(sorted(arguments))}")
        if action not in self.actions:
            raise ValueError(f"expected one of the actions {', '.join(self.actions)}; got {action!r}")
        self._active = action == "on"

    def _is_meant(self, request: Request) -> bool:
        return self._header is None or request.headers.remove(self._header)

    async def _delay(self, options: DelayOptions) -> None:
        if self._delayed >= self.options.max_delayed:
            return
        time_s = options.time if options.up_to is None else self.context.random.uniform(options.time, options.up_to)
        self._counts["delay"].value += 1
        self._delayed += 1
        try:
            await self.context.clock.sleep(time_s)
        finally:
            self._delayed -= 1

    def _spoil(self, response: Response, options: BodyOptions) -> None:
        body = response.body
        if response.tunnel is None and body.length != 0:
            response.body = Body.stream(self._spoiled(body, options), length=body.length)

    async def _spoiled(self, body: Body, options: BodyOptions) -> AsyncIterator[bytes]:
        left = options.cut_after
        async for chunk in body:
            kept = chunk if left is None else chunk[:left]
            async for piece in self._throttled(kept, options.rate):
                yield piece
            if left is not None:
                if len(kept) < len(chunk):
                    raise ResetError("fault: the body is cut off on purpose", code=CODE)
                left = Size.of_bytes(left - len(kept))

    async def _throttled(self, data: bytes, rate: Size | None) -> AsyncIterator[bytes]:
        size = len(data) if rate is None else max(1, rate // _PIECES_PER_S)
        for start in range(0, len(data), max(1, size)):
            piece = data[start : start + size]
            yield piece
            if rate is not None:
                await self.context.clock.sleep(len(piece) / rate)


def _aborted(options: AbortOptions, request: Request) -> Response:
    """Return the answer, or raise what breaks a connection off."""
    if options.connection == "service":
        raise ResetError("fault: the connection is broken off on purpose", code=CODE)
    if options.connection == "client":
        raise AbortError("fault: the connection is broken off on purpose", code=CODE)
    return problem(MeshwrightError("an error on purpose", status=options.status, code=CODE), request)
