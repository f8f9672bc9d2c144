"""`fallback`: something else when the service cannot answer. Trying again and breaking circuits go elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from meshwright_plugins.filters.fallback.last_good import Asked, LastGood
from meshwright_plugins.filters.fallback.options import FallbackOptions
from meshwright_plugins.filters.fallback.reasons import WORDS, reason_of
from meshwright_sdk import CallNext, Context, Filter, Request, Response, every_status, imported

logger = logging.getLogger("meshwright.fallback")

HEADER = b"x-degraded"
_MANUAL = "manual"

Step = Callable[[Request, Exception | None], Awaitable[Response | None]]
"""Give an answer in place of the service's, or None when there is none to give."""


class Fallback(Filter[FallbackOptions]):
    """Degrade instead of failing: the last good answer, another service, a function of yours, or a fixed answer.

    They are tried in this order, as far as they are there; when none has an answer, what went wrong goes on. A degraded
    answer carries `x-degraded` with the reason: `open`, `failed`, `timeout`, `shed`, a status, or `manual`. A request
    whose body has been streamed away cannot go to another service. Kept as last good are whole answers that are for
    everybody: none of 206, no `private` and no `no-store`, no event streams, and without a `key` none to a request of
    which a filter knows who asks. Of those with `vary` the last one is kept, for requests that say the same in these
    fields.

    By hand, `degrade` at the admin API gives the fallback without calling the service, and `restore` ends that. Put it
    around `retry`, `timeout` and `circuit_breaker`, which are to have done what they can before.

    Metrics: `meshwright_fallback_total`, by `service`, `route` and `reason`, where `status` stands for every status.

    Example:
        filters:
          - fallback: {last_good: {max_age: 10m}, respond: {status: 200, json: {orders: []}}}
    """

    actions: ClassVar = {
        "degrade": "Give the fallback without calling the service.",
        "restore": "Call the service again.",
    }

    def __init__(self, options: FallbackOptions, context: Context) -> None:
        super().__init__(options, context)
        self._reasons = frozenset(options.on)
        self._statuses = every_status(each for each in options.on if each not in WORDS)
        self._by_hand = False
        self._kept = _kept_by(options, context)
        self._steps = tuple(_steps_of(options, context))
        self._degraded = context.metrics.counters(
            "meshwright_fallback_total",
            "Answers that a fallback gave.",
            "reason",
            (*WORDS, "status", _MANUAL),
            **context.labels,
        )

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        asked = self._kept.asked_by(request) if self._kept is not None else None
        if self._by_hand:
            degraded = await self._instead(request, asked, _MANUAL, None)
            if degraded is not None:
                return degraded
        try:
            response = await call_next(request)
        except Exception as error:
            reason = reason_of(error)
            if reason is None or reason not in self._reasons:
                raise
            degraded = await self._instead(request, asked, reason, error)
            if degraded is None:
                raise
            return degraded
        if response.status in self._statuses:
            degraded = await self._instead(request, asked, str(response.status), None)
            if degraded is None:
                return response
            await response.aclose()
            return degraded
        if asked is not None and self._kept is not None:
            self._kept.keep(asked, request, response)
        return response

    async def _instead(
        self, request: Request, asked: Asked | None, reason: str, error: Exception | None
    ) -> Response | None:
        """Return the first answer that there is, marked."""
        response = self._kept.get(asked) if asked is not None and self._kept is not None else None
        if response is None:
            response = await self._stepped(request, error)
        if response is not None:
            response.headers.set_bytes(HEADER, reason.encode("ascii"))
            self._degraded[reason if reason in self._degraded else "status"].value += 1
        return response

    async def _stepped(self, request: Request, error: Exception | None) -> Response | None:
        """Return the answer of the first step that has one; what a step raises is logged, and the next one is tried."""
        for step in self._steps:
            try:
                response = await step(request, error)
            except Exception as failure:
                logger.warning("request %s: a fallback failed too: %r", request.id or "-", failure)
                continue
            if response is not None:
                return response
        return None

    def state(self) -> Mapping[str, Any]:
        kept = {} if self._kept is None else {"kept_answers": len(self._kept)}
        counts = {reason: int(counter.value) for reason, counter in self._degraded.items()}
        return {"degraded_by_hand": self._by_hand, "degraded": counts, **kept}

    def act(self, action: str, arguments: Mapping[str, str]) -> None:
        if arguments:
            raise ValueError(f"arguments: expected none; got {', '.join(sorted(arguments))}")
        self._by_hand = action == "degrade"


def _kept_by(options: FallbackOptions, context: Context) -> LastGood | None:
    if options.last_good is None:
        return None
    return LastGood(
        options.last_good, context.clock.monotonic, shared=context.route is None and context.service is None
    )


def _steps_of(options: FallbackOptions, context: Context) -> list[Step]:
    """Return what is tried when there is no answer of before, in this order."""
    steps: list[Step] = []
    if options.service is not None:
        steps.append(_to_service(options.service, context))
    if options.call is not None:
        steps.append(_to_function(options.call))
    if options.respond is not None:
        steps.append(_fixed(options.respond.compiled()))
    return steps


def _to_service(service: str, context: Context) -> Step:
    async def ask(request: Request, error: Exception | None) -> Response | None:
        if request.body.spent:
            return None
        request.avoid = ()
        return await context.call(service, request)

    return ask


def _to_function(reference: str) -> Step:
    try:
        function: Any = imported(reference)
    except ValueError as error:
        raise ValueError(f"call: {error}") from error

    async def ask(request: Request, error: Exception | None) -> Response | None:
        answer = await function(request, error)
        if answer is not None and not isinstance(answer, Response):
            raise TypeError(f"{reference}: expected it to return a Response or None; got {answer!r:.80}")
        return answer

    return ask


def _fixed(make: Callable[[], Response]) -> Step:
    async def give(request: Request, error: Exception | None) -> Response | None:
        return make()

    return give
