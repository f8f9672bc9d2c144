"""`quota`: so many requests of each consumer in an hour, day or month. Limits of seconds go elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from meshwright_sdk import (
    CallNext,
    Context,
    Entries,
    Filter,
    Key,
    LimitFields,
    Options,
    Request,
    Response,
    StoreError,
    TooManyRequestsError,
    headers_of,
)

logger = logging.getLogger("meshwright.quota")

_LONGEST_S = {"hour": 3_600, "day": 86_400, "month": 31 * 86_400}
_KEPT_ON_S = 86_400
"""How long a counter stays after its period, for clocks that differ and for people who look."""
_MOST_SPENT = 100_000


class QuotaOptions(Options):
    """How many, of whom, in which period."""

    limit: PositiveInt = Field(description="Requests of each consumer in one period.")
    per: Literal["hour", "day", "month"] = Field(
        "month", description="The period, by the calendar in UTC: each begins at its first second."
    )
    key: Key = Field(
        Key("subject"),
        description="The consumer: subject (of who authenticated), claim:NAME, header:NAME and so on. Requests without "
        "it are counted together.",
    )
    name: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.-]{0,64}$",
        description="Name in the RateLimit headers and in the store; quotas of one name, period and consumer are one, "
        "on whichever routes and gateways. The route's own when left out.",
    )
    headers: bool = Field(True, description="Send RateLimit and RateLimit-Policy with each answer.")
    on_store_failure: Literal["allow", "deny"] = Field(
        "allow", description="While the store is away: let all through uncounted, or refuse all with 503."
    )


class Quota(Filter[QuotaOptions]):
    """Answer 429 to a consumer whose quota of the period is spent, until the next period begins.

    Counts are in the store, so that they outlive a restart and hold for all workers and gateways that share it; with
    the store `memory` each worker counts for itself and forgets. Each request is one call of the store; a consumer
    whose quota is spent is refused without any. Put it inside of what authenticates, and inside of `rate_limit`, so
    that what that refuses is not counted.

    Metrics: `meshwright_quota_total`, by the name of the `quota` and the `result`: `admitted`, `refused`, or
    `store_failed` (the store was away). The counts at the admin API are these too: of all uses of the name.

    Example:
        filters:
          - quota: {limit: 100000, per: month, key: "claim:sub"}
    """

    goes_inside: ClassVar[Mapping[str, str]] = {
        "overload": "around it the quota also counts the requests that are shed",
        "rate_limit": "around it the quota also counts the requests that the rate limit refuses",
    }

    def __init__(self, options: QuotaOptions, context: Context) -> None:
        super().__init__(options, context)
        if context.store is None:
            raise ValueError("expected a store to count in; got none")
        self._name = options.name or context.route or "quota"
        self._store = context.store
        self._key = options.key.kept_of
        self._fields = LimitFields(self._name, options.limit, _LONGEST_S[options.per]) if options.headers else None
        self._begin = self._end = 0
        self._warned = False
        self._prefix = ""
        self._spent: Entries[None] = Entries(_MOST_SPENT)
        self._counts = context.metrics.counters(
            "meshwright_quota_total",
            "Requests by what the quota said.",
            "result",
            ("admitted", "refused", "store_failed"),
            quota=self._name,
        )

    async def start(self) -> None:
        """Warn of a store that forgets."""
        if not self._store.shared:
            what = "each worker counts for itself, and forgets at its end"
            logger.warning("%s: the store %s is not shared: %s", self.context.place, self._store.name, what)

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        now = self.context.clock.wall()
        if not self._begin <= now < self._end:
            self._begin, self._end = period(self.options.per, now)
            self._prefix = f"quota:{self._name}:{self.options.per}:{self._begin}:"
        end, key = self._end, self._prefix + self._key(request)
        count = self.options.limit + 1 if self._spent.get(key, now) else await self._count(key, end - now)
        if count > self.options.limit:
            self._spent.put(key, None, now, end)
            self._counts["refused"].value += 1
            raise self._refusal(end - now)
        if count == 0:
            return await call_next(request)
        self._counts["admitted"].value += 1
        if self._fields is None:
            return await call_next(request)
        left = self.options.limit - count
        try:
            response = await call_next(request)
        except Exception as error:
            self._fields.add(headers_of(error), left, end - now)
            raise
        self._fields.add(response.headers, left, end - now)
        return response

    async def _count(self, key: str, left_s: float) -> int:
        """Count the request and return which one it is; 0 when the store is away and all are let through."""
        try:
            return await self._store.increment(key, ttl_s=left_s + _KEPT_ON_S)
        except (StoreError, ValueError) as error:  # the latter where somebody else has put no counter in its place
            self._counts["store_failed"].value += 1
            if isinstance(error, ValueError) and not self._warned:
                self._warned = True
                logger.warning("quota %s: cannot count: %s", self._name, error)
            if self.options.on_store_failure == "allow":
                return 0
            raise StoreError(str(error), headers={"retry-after": "1"}) from error

    def _refusal(self, left_s: float) -> TooManyRequestsError:
        expected = f"at most {self.options.limit} requests a {self.options.per}"
        detail, wait_s = f"quota: expected {expected}; got more", max(1, ceil(left_s))
        error = TooManyRequestsError(detail, retry_after_s=wait_s, code="quota_spent")
        if self._fields is not None:
            self._fields.add(error.headers, 0, left_s)
        return error

    def state(self) -> Mapping[str, Any]:
        counts = {name: int(counter.value) for name, counter in self._counts.items()}
        return {"limit": self.options.limit, "per": self.options.per, "spent_consumers": len(self._spent), **counts}


def period(per: str, wall_s: float) -> tuple[int, int]:
    """Return first second and end of the hour, day or month that a time is in, in seconds since 1970 UTC."""
    now = datetime.fromtimestamp(wall_s, UTC).replace(minute=0, second=0, microsecond=0)
    if per == "hour":
        return _seconds(now), _seconds(now + timedelta(hours=1))
    day = now.replace(hour=0)
    if per == "day":
        return _seconds(day), _seconds(day + timedelta(days=1))
    month = day.replace(day=1)
    return _seconds(month), _seconds((month + timedelta(days=31)).replace(day=1))


def _seconds(time: datetime) -> int:
    return int(time.timestamp())
