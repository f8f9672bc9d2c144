"""`BreakerOptions`: when a breaker opens and closes, as somebody writes it down; what it breaks goes elsewhere."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from meshwright_sdk.breaker import BreakerRules
from meshwright_sdk.plugin import Options
from meshwright_sdk.statuses import Statuses
from meshwright_sdk.units import Duration, Percent, PositiveDuration, PositivePercent


class BreakerOptions(Options):
    """When a breaker opens, for how long, and what closes it again."""

    consecutive_failures: PositiveInt | None = Field(
        10, description="Failures in a row that open it; null for no such rule."
    )
    failure_rate: PositivePercent | None = Field(
        Percent("50%"), description="Share of failures in the window that opens it; null for no such rule."
    )
    slow_after: PositiveDuration | None = Field(
        None, description="A request whose answer has not begun after this time is slow; null to look at no times."
    )
    slow_rate: PositivePercent = Field(
        Percent("50%"), description="Share of slow requests in the window that opens it."
    )
    min_requests: PositiveInt = Field(
        20, description="The two shares count from so many requests in the window on, in each worker."
    )
    window: PositiveDuration = Field(
        Duration("10s"), description="What is looked back on; it moves on in tenths, which are forgotten as a whole."
    )
    statuses: Statuses = Field(("5xx",), description="Statuses that are failures, such as 503, or 5xx for all of them.")
    open_for: PositiveDuration = Field(
        Duration("10s"), description="How long it stays open before requests are tried again."
    )
    growth: Annotated[float, Field(ge=1, le=100)] = Field(
        1.0, description="Each time that a trial fails, it stays open so many times as long as before."
    )
    max_open_for: PositiveDuration = Field(Duration("5m"), description="What `growth` makes of `open_for` at most.")
    trials: PositiveInt = Field(3, description="Requests that are let through at a time while it is half open.")
    successes: PositiveInt = Field(3, description="Trials in a row that must be answered well before it closes.")

    @model_validator(mode="after")
    def _has_a_rule(self) -> Self:
        if self.consecutive_failures is None and self.failure_rate is None and self.slow_after is None:
            raise ValueError("expected one of consecutive_failures, failure_rate and slow_after; got null for each")
        if self.max_open_for < self.open_for:
            raise ValueError(f"max_open_for: expected {self.open_for} (open_for) or more; got {self.max_open_for}")
        if self.slow_after is None and "slow_rate" in self.model_fields_set:
            raise ValueError("expected slow_after, which slow_rate is about; got none")
        return self

    def rules(self) -> BreakerRules:
        """Return what a `Breaker` goes by."""
        return BreakerRules(
            consecutive=self.consecutive_failures,
            failure_rate=self.failure_rate,
            slow_rate=self.slow_rate if self.slow_after is not None else None,
            minimum=self.min_requests,
            window_s=self.window,
            open_s=self.open_for,
            growth=self.growth,
            longest_open_s=self.max_open_for,
            trials=self.trials,
            successes=self.successes,
        )
