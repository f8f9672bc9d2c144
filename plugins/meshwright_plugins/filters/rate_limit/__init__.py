"""`rate_limit`: so many requests in a time for each key. Long-lived quotas and concurrency go elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import ceil
from typing import Any, ClassVar

from meshwright_plugins.filters.rate_limit.local import LocalLimit
from meshwright_plugins.filters.rate_limit.options import RateLimitOptions
from meshwright_plugins.filters.rate_limit.shared import ExactLimit, LeasedLimit
from meshwright_sdk import (
    CallNext,
    Context,
    Filter,
    LimitFields,
    Request,
    Response,
    StoreError,
    TooManyRequestsError,
    headers_of,
)
from meshwright_sdk.limits import Taken

logger = logging.getLogger("meshwright.rate_limit")

_UNKNOWN = Taken(1, 0.0, 0, 0.0)
"""What is known of a request that is let through because the store is away."""


class RateLimit(Filter[RateLimitOptions]):
    """Answer 429 to a key above its rate, without calling the rest of the chain.

    `rate` fills a token bucket that holds `burst`; `limit` and `window` are a sliding window: never more than the limit
    in any span of that length. Several limits are several uses; the order is that of the list, and one that refuses has
    taken nothing from those after it. `Retry-After` says when to come again, `RateLimit` and `RateLimit-Policy` what is
    left (draft-ietf-httpapi-ratelimit-headers-10).

    `mode` says who counts. `local`: each worker by itself, so that N workers let through N times as much. `exact`: the
    store, for each request, in one round trip for all requests of a turn; never more than the limit over all workers
    and gateways that share it. `leased`: workers take slices from the store and spend them by themselves; beyond the
    limit goes at most the number of workers times `slice`, and hardly a request waits.

    A request is told apart by `key`. Put the filter inside those that authenticate, where the key is a claim, and
    outside of `retry`, so that attempts are not counted. The store `memory` is each worker's own: with it `exact` and
    `leased` count no more than the worker's requests.

    Metrics: `meshwright_rate_limit_total`, by `service`, `route`, the name of the `limit` and the `result`: `admitted`,
    `refused`, or `store_failed` (the store was away).

    Example:
        filters:
          - rate_limit: {rate: 100/s, burst: 20, key: "claim:sub"}
          - rate_limit: {limit: 10000, window: 1h, key: "header:x-tenant", name: tenant}
    """

    goes_inside: ClassVar[Mapping[str, str]] = {
        "overload": "around it requests that it sheds count against the client's limit",
    }

    def __init__(self, options: RateLimitOptions, context: Context) -> None:
        super().__init__(options, context)
        self._key = options.key.kept_of
        self._now = context.clock.monotonic
        self._local = LocalLimit(options, context.clock.monotonic)
        self._shared = _shared(options, context)
        name = options.name or context.service or context.route or "default"
        self._fields = LimitFields(name, options.quota, options.window_s) if options.headers else None
        self._counts = context.metrics.counters(
            "meshwright_rate_limit_total",
            "Requests by what the rate limit said.",
            "result",
            ("admitted", "refused", "store_failed"),
            limit=name,
            **context.labels,
        )
        self._admitted, self._refused = self._counts["admitted"], self._counts["refused"]

    async def start(self) -> None:
        """Warn of a store that shares nothing."""
        store = self.context.store
        if self._shared is not None and store is not None and not store.shared:
            what = "each worker counts for itself, as with mode local"
            logger.warning("%s: the store %s is not shared: %s", self.context.place, store.name, what)

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        key = self._key(request)
        taken = self._local.take(key) if self._shared is None else await self._take_shared(key)
        if taken.granted == 0:
            self._refused.value += 1
            raise self._refusal(taken)
        self._admitted.value += 1
        fields = self._fields
        if fields is None or taken is _UNKNOWN:
            return await call_next(request)
        try:
            response = await call_next(request)
        except Exception as error:
            fields.add(headers_of(error), taken.remaining, taken.reset_s)
            raise
        fields.add(response.headers, taken.remaining, taken.reset_s)
        return response

    async def _take_shared(self, key: str) -> Taken:
        assert self._shared is not None
        try:
            return await self._shared.take(key)
        except StoreError as error:
            self._counts["store_failed"].value += 1
            if self.options.on_store_failure == "deny":
                # Another error for each request: those that waited together have all got the same one.
                raise StoreError(error.detail, headers={"retry-after": "1"}) from error
            return self._local.take(key) if self.options.on_store_failure == "local" else _UNKNOWN

    def _refusal(self, taken: Taken) -> TooManyRequestsError:
        wait_s = max(1, ceil(taken.wait_s))
        error = TooManyRequestsError(f"rate limit: expected {self._limit()}; got more", retry_after_s=wait_s)
        if self._fields is not None:
            self._fields.add(error.headers, taken.remaining, taken.reset_s)
        return error

    def _limit(self) -> str:
        options = self.options
        if options.rate is not None:
            return f"at most {options.rate}"
        return f"at most {options.limit} in {options.window}"

    def state(self) -> Mapping[str, Any]:
        counts = {name: int(counter.value) for name, counter in self._counts.items()}
        return {"limit": self._limit(), "mode": self.options.mode, "local_keys": len(self._local), **counts}


def _shared(options: RateLimitOptions, context: Context) -> ExactLimit | LeasedLimit | None:
    if options.mode == "local":
        return None
    if context.store is None:
        raise ValueError(f"mode: expected local where there is no store; got {options.mode}")
    name = options.name or f"{context.owner}/{options.quota}/{options.window_s:g}"
    prefix = f"rate_limit:{name}:"
    if options.mode == "exact":
        return ExactLimit(options, context.store, prefix)
    return LeasedLimit(options, context.store, prefix, context.clock.monotonic, context.tasks)
