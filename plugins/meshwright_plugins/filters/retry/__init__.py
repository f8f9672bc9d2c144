"""`retry`: try again what failed, within bounds. Attempts side by side and other answers go elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import inf
from typing import Any, ClassVar

from meshwright_plugins.filters.retry.kept_body import KeptBody
from meshwright_plugins.filters.retry.options import RetryOptions
from meshwright_sdk import (
    CallNext,
    ConnectError,
    Context,
    Filter,
    ProtocolError,
    Request,
    ResetError,
    Response,
    UpstreamError,
    UpstreamTimeoutError,
    every_status,
)

Outcome = Response | UpstreamError
_CONNECT_TIMEOUT = "upstream_connect_timeout"


class Retry(Filter[RetryOptions]):
    """Try a request again when it failed, at another endpoint where there is one.

    Only requests that may be made more than once are tried again: those of `methods`, whose body is still known. A
    body that comes whole with its request is; one that streams is sent on at once, and kept meanwhile up to
    `max_body`. A request whose connection could not be made has been seen by nobody: it is tried again whatever its
    method, unless a streamed body was begun. An answer that has begun is never tried again.

    Before attempt n there is a wait of a random time up to `backoff` × 2ⁿ⁻², at most `max_backoff` (full jitter), and
    after `retry-after` where the answer has one. No attempt is made that would begin after the request's deadline.
    When nothing is left, the last failure is the answer.

    The budget keeps a service that is down from being flooded: attempts beyond the first are at most `budget.share` of
    the requests of the last `budget.window`, and `budget.minimum` where that is more. It belongs to the use of the
    filter and to the worker: N workers keep to the share together, and the minimum is N times as much. With one of
    three endpoints down a third of the requests needs a second attempt, more than 20%: have `outlier` take it out, or
    raise the share. Filters inside that make attempts of their own count against the budget of the outermost.

    A `timeout` around it bounds all attempts together; one of the service's filters bounds each, and is tried again
    with `timeout` in `on`. A refusal by an open circuit breaker or by a bound of the gateway is not tried again.

    Metrics: `meshwright_retry_attempts_total` (attempts beyond the first), `meshwright_retry_exhausted_total` (requests
    whose last attempt failed) and `meshwright_retry_refused_total` (attempts the budget did not allow), with the labels
    `service` and `route`.

    Example:
        filters:
          - retry: {attempts: 3, on: [connect, reset, "502", "503"], budget: 20%}
    """

    goes_inside: ClassVar[Mapping[str, str]] = {
        "fallback": "it answers before there is anything to try again",
        "cache": "what it has stored needs no second attempt, and each attempt would be looked up again",
        "rate_limit": "each attempt counts against the client's limit",
        "quota": "each attempt counts against the client's quota",
        "mirror": "each attempt is mirrored",
    }

    def __init__(self, options: RetryOptions, context: Context) -> None:
        super().__init__(options, context)
        words = frozenset(each for each in options.on if not each[0].isdigit())
        self._words = words
        self._statuses = every_status(each for each in options.on if each not in words)
        self._methods = frozenset(options.methods)
        self._kept_bytes = int(options.max_body)
        self._header = options.header.encode("ascii") if options.header is not None else b""
        self._budget = options.budget.make(context.clock.monotonic)
        labels = context.labels
        metrics = context.metrics
        self._retries = metrics.counter("meshwright_retry_attempts_total", "Attempts beyond the first.", None, **labels)
        self._exhausted = metrics.counter(
            "meshwright_retry_exhausted_total", "Requests whose last attempt failed too.", None, **labels
        )
        self._refused = metrics.counter(
            "meshwright_retry_refused_total", "Attempts that the budget did not allow.", None, **labels
        )

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        if request.budget is None:
            request.budget = self._budget
            self._budget.count()
        if self._header:
            request.headers.set_bytes(self._header, b"1")
        kept = None
        if request.body.data is None and self._keeps(request):
            kept = KeptBody(request.body, self._kept_bytes)
            request.body = kept.body()
        try:
            try:
                response = await call_next(request)
            except UpstreamError as error:
                return await self._again(request, call_next, error, kept)
            if response.status in self._statuses:
                return await self._again(request, call_next, response, kept)
            return response
        finally:
            if kept is not None:
                await kept.close()

    def state(self) -> Mapping[str, Any]:
        return {
            "attempts": self._retries.value,
            "exhausted": self._exhausted.value,
            "refused": self._refused.value,
            "budget": dict(self._budget.state()),
        }

    def _keeps(self, request: Request) -> bool:
        """Return whether a streamed body is kept for another attempt."""
        body = request.body
        return request.method in self._methods and not body.spent and (body.length or 0) <= self._kept_bytes > 0

    async def _again(self, request: Request, call_next: CallNext, outcome: Outcome, kept: KeptBody | None) -> Response:
        """Try again until an attempt succeeds or there must be no other; return or raise what the last came to."""
        attempt = 1
        while self._fails(outcome):
            if attempt == self.options.attempts:
                self._exhausted.value += 1
                break
            delay_s = self._delay_s(outcome, attempt)
            if not (self._may_repeat(request, outcome, kept) and self._in_time(request, delay_s)):
                break
            assert request.budget is not None
            if not request.budget.spend():
                self._refused.value += 1
                break
            attempt += 1
            self._retries.value += 1
            if isinstance(outcome, Response):
                await outcome.aclose()
            if delay_s > 0:
                await self.context.clock.sleep(delay_s)
            self._prepare(request, attempt, kept)
            outcome = await _attempt(request, call_next)
        if isinstance(outcome, Response):
            return outcome
        try:
            raise outcome
        finally:
            del outcome  # or the error would hold this frame, and this frame the error

    def _fails(self, outcome: Outcome) -> bool:
        """Return whether it is among what is tried again."""
        if isinstance(outcome, Response):
            return outcome.status in self._statuses
        if isinstance(outcome, ProtocolError):
            return "protocol" in self._words
        if not outcome.retryable:
            return False
        if _unseen(outcome):
            return "connect" in self._words
        if isinstance(outcome, ResetError):
            return "reset" in self._words
        if isinstance(outcome, UpstreamTimeoutError):
            return "timeout" in self._words
        return outcome.status in self._statuses

    def _may_repeat(self, request: Request, outcome: Outcome, kept: KeptBody | None) -> bool:
        if kept is not None:
            return kept.repeatable
        if request.body.spent:
            return False
        return (request.method in self._methods and request.body.replayable) or _unseen(outcome)

    def _in_time(self, request: Request, delay_s: float) -> bool:
        """Return whether an attempt after that time is of use."""
        if delay_s == inf:
            return False
        return request.deadline is None or self.context.clock.monotonic() + delay_s < request.deadline

    def _delay_s(self, outcome: Outcome, attempt: int) -> float:
        """Return the time to wait after that attempt, endless when its answer asks for too long a time."""
        options = self.options
        longest_s = min(options.max_backoff, options.backoff * 2.0 ** (attempt - 1))
        delay_s = self.context.random.uniform(0.0, longest_s)
        if isinstance(outcome, Response):
            asked_s = self._retry_after_s(outcome)
            return asked_s + delay_s if asked_s <= options.max_retry_after else inf
        return delay_s

    def _retry_after_s(self, response: Response) -> float:
        """Return what `retry-after` says, in seconds or as a date (RFC 9110, section 10.2.3); 0 for nothing valid."""
        value = response.headers.get("retry-after", "")
        if value.isascii() and value.isdigit():
            return float(value[:10])
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - self.context.clock.wall())
        except (ValueError, OverflowError):
            return 0.0

    def _prepare(self, request: Request, attempt: int, kept: KeptBody | None) -> None:
        endpoint = request.endpoint
        if endpoint is not None and endpoint not in request.avoid:
            request.avoid = (*request.avoid, endpoint)
        if kept is not None:
            request.body = kept.body()
        if self._header:
            request.headers.set_bytes(self._header, b"%d" % attempt)


async def _attempt(request: Request, call_next: CallNext) -> Outcome:
    try:
        return await call_next(request)
    except UpstreamError as error:
        return error


def _unseen(outcome: Outcome) -> bool:
    """Return whether no connection could be made, so that the endpoint has seen nothing of the request."""
    if isinstance(outcome, UpstreamTimeoutError):
        return outcome.code == _CONNECT_TIMEOUT
    return isinstance(outcome, ConnectError)
