"""The options of `rate_limit`; what becomes of them goes elsewhere."""

from __future__ import annotations

from math import ceil
from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from meshwright_sdk import Key, Options, PositiveDuration, Rate


class RateLimitOptions(Options):
    """How many requests, of whom, and who counts them: either `rate`, or `limit` and `window`."""

    rate: Rate | None = Field(
        None, description="Requests that each key may keep up for ever (a token bucket), such as 100/s."
    )
    burst: PositiveInt | None = Field(
        None, description="With rate: requests at once after a pause; what one second brings when left out, 1 at least."
    )
    limit: PositiveInt | None = Field(
        None, description="Requests of each key in any span of the length of window (a sliding window)."
    )
    window: PositiveDuration | None = Field(None, description="With limit: the span of time.")
    key: Key = Field(
        Key("client"),
        description="What is counted: client, route, header:NAME, cookie:NAME, claim:NAME, {several}{of:them} or "
        "python: EXPRESSION. Requests without it are counted together.",
    )
    mode: Literal["local", "exact", "leased"] = Field(
        "local",
        description="Who counts: each worker by itself, the store for each request, or the store by slices that "
        "workers take.",
    )
    slice: PositiveInt = Field(
        10,
        description="With mode leased: requests that a worker may take from the store at once; more than the limit "
        "are let through by at most this times the number of workers.",
    )
    name: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_.-]{0,64}$",
        description="Name in the RateLimit headers; limits of one name share their counts in the store. The route's "
        "own when left out.",
    )
    headers: bool = Field(True, description="Send RateLimit and RateLimit-Policy with each answer.")
    on_store_failure: Literal["allow", "deny", "local"] = Field(
        "local",
        description="While the store is away: let all through, refuse all with 503, or count in each worker by itself.",
    )
    max_keys: PositiveInt = Field(
        100_000, description="Keys that a worker keeps counts of; beyond it those unused for longest begin anew."
    )

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        is_window = self.limit is not None and self.window is not None
        if (self.rate is None) != is_window or (self.limit is None) != (self.window is None):
            got = [name for name in ("rate", "limit", "window") if getattr(self, name) is not None]
            raise ValueError(f"expected either rate, or limit and window; got {' and '.join(got) or 'none of them'}")
        if self.burst is not None and self.rate is None:
            raise ValueError("expected burst with rate alone; got it with limit and window")
        return self

    @property
    def quota(self) -> int:
        """How many may go at once, which is the burst or the window's limit."""
        if self.limit is not None:
            return self.limit
        assert self.rate is not None
        return self.burst or max(1, ceil(self.rate.per_second))

    @property
    def window_s(self) -> float:
        """In how many seconds the quota is there again."""
        if self.window is not None:
            return self.window
        assert self.rate is not None
        return self.quota / self.rate.per_second
