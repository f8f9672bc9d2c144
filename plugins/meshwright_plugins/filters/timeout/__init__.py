"""`timeout`: how long the rest of the chain may take, and the deadline that goes with it. No retries in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import ClassVar, Self

from pydantic import Field, model_validator

from meshwright_plugins.filters.timeout.grpc_timeout import read_grpc_timeout, write_grpc_timeout
from meshwright_sdk import (
    Body,
    CallNext,
    Context,
    DeadlineError,
    Duration,
    Filter,
    HeaderName,
    Options,
    PositiveDuration,
    Relay,
    Request,
    Response,
    Timeouts,
    UpstreamTimeoutError,
)
from meshwright_sdk.headers import RawHeaders
from meshwright_sdk.timeouts import DEADLINE, EXPIRED

_LONGEST_TIME = 16  # digits of milliseconds
_GRPC_TIMEOUT = b"grpc-timeout"


class TimeoutOptions(Options):
    """How long, and what is told of it."""

    after: PositiveDuration = Field(
        description="How long the rest of the chain may take until the head of the response is there."
    )
    body: bool = Field(
        False,
        description="Until the end of the response instead, as Envoy's route timeout. Not for downloads and event "
        "streams: a response that streams is then also read by the filter, chunk by chunk.",
    )
    header: HeaderName | None = Field(
        "x-request-deadline",
        description="The header that tells the service when nobody waits any longer, in milliseconds since "
        "1970-01-01 UTC; null tells it nothing.",
    )
    trust: bool = Field(
        False,
        description="Obey that header of a request if it is earlier. Only for clients whose clocks are right.",
    )

    @model_validator(mode="after")
    def _has_a_header_to_trust(self) -> Self:
        if self.trust and self.header is None:
            raise ValueError("expected a header with trust; got null")
        return self


class Timeout(Filter[TimeoutOptions]):
    """Answer 504 when the rest of the chain takes too long, and hand the deadline on to the service.

    As a filter of a route it bounds the whole request with all its retries, as a filter of a service each attempt.
    The time begins when the request comes to the filter; with `body: true` it ends with the response, else with its
    head. A service's `idle_timeout` bounds the pauses of a response in either case.

    When the time is over the request is given up, and its connection to the service closed; the code is
    `upstream_timeout`. A deadline that is earlier than `after` is obeyed: that of another `timeout` around this
    one, of the client's `grpc-timeout`, and with `trust` that in the client's `x-request-deadline`; the code is then
    `deadline_exceeded`, which is not retried. A request whose deadline has passed is not sent at all.

    The service is told the earliest deadline in `x-request-deadline`, and a gRPC service also in `grpc-timeout`, as
    the time that is left. An answer is never cut off early, and a late one at most about 10 ms late.

    Example:
        filters:
          - timeout: {after: 2s}
    """

    goes_inside: ClassVar[Mapping[str, str]] = {
        "fallback": "it is given up together with the call when the time is over; around the timeout it can answer",
    }

    def __init__(self, options: TimeoutOptions, context: Context) -> None:
        super().__init__(options, context)
        self._after = float(options.after)
        self._body = options.body
        self._timeouts = Timeouts(context.clock)
        self._now = context.clock.monotonic
        self._wall = context.clock.wall
        self._header = options.header.encode("ascii") if options.header is not None else b""
        self._trust = options.trust

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        now = self._now()
        outer = request.deadline
        is_grpc = request.method == "POST" and _is_grpc(request.headers.raw)
        if is_grpc or self._trust:
            outer = self._earlier(request, outer, now)
        due, message = now + self._after, EXPIRED
        if outer is not None and outer < due:
            due, message = outer, DEADLINE
            if due <= now:
                raise _late(message, self.options.after)
        request.deadline = due
        if self._header:
            request.headers.set_bytes(self._header, b"%d" % int((self._wall() + due - now) * 1000))
        if is_grpc:
            request.headers.set_bytes(_GRPC_TIMEOUT, write_grpc_timeout(due - now))
        try:
            with self._timeouts.until(due, message):
                response = await call_next(request)
                if self._body and response.body.data is None and not response.body.spent:
                    self._bound(response, due, message)
                return response
            raise _late(message, self.options.after)
        except Exception:
            self._tell_again(request, outer, is_grpc)
            raise
        finally:
            request.deadline = outer

    def _earlier(self, request: Request, outer: float | None, now: float) -> float | None:
        """Return the earliest of the deadlines that came with the request and the one of another filter."""
        told = now + read_grpc_timeout(request.headers.get_bytes(_GRPC_TIMEOUT) or b"")
        if self._trust:
            value = request.headers.get_bytes(self._header) or b""
            if value.isdigit() and len(value) <= _LONGEST_TIME:
                told = min(told, now + int(value) / 1000 - self._wall())
        if told == inf:
            return outer
        return told if outer is None else min(told, outer)

    def _tell_again(self, request: Request, outer: float | None, is_grpc: bool) -> None:
        """Have the headers tell the deadline outside of this filter, for whoever tries again."""
        left = outer - self._now() if outer is not None else inf
        if self._header:
            if left == inf:
                request.headers.remove(self._header)
            else:
                request.headers.set_bytes(self._header, b"%d" % int((self._wall() + left) * 1000))
        if is_grpc and left == inf:
            request.headers.remove(_GRPC_TIMEOUT)
        elif is_grpc:
            request.headers.set_bytes(_GRPC_TIMEOUT, write_grpc_timeout(max(0.0, left)))

    def _bound(self, response: Response, due: float, message: str) -> None:
        """Give up what is still to come of the body when the time is over."""
        body = response.body
        late = partial(_late, message, self.options.after)
        response.body = Body.stream(_InTime(body, self._timeouts, due, late), length=body.length)


def _late(message: str, after: Duration) -> UpstreamTimeoutError:
    if message == DEADLINE:
        return DeadlineError("upstream: no answer before the request's deadline")
    return UpstreamTimeoutError(f"upstream: no answer within {after}")


def _is_grpc(fields: RawHeaders) -> bool:
    """Return whether a service is to be told the time that is left in `grpc-timeout`."""
    known = dict(fields)
    return _GRPC_TIMEOUT in known or known.get(b"content-type", b"").startswith(b"application/grpc")


class _InTime(Relay):
    """Chunks of a response that must all have come before the time is over."""

    __slots__ = ("_due", "_late", "_timeouts")

    def __init__(self, body: Body, timeouts: Timeouts, due: float, late: Callable[[], Exception]) -> None:
        super().__init__(body)
        self._timeouts = timeouts
        self._due = due
        self._late = late

    async def __anext__(self) -> bytes:
        with self._timeouts.until(self._due):
            return await anext(self.chunks)
        await self.aclose()
        raise self._late()
