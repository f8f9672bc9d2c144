"""`OutlierOptions`: what makes an endpoint an outlier, and for how long it is out; nothing is judged in here."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, PositiveInt, model_validator

from meshwright_sdk import Duration, Options, Percent, PositiveDuration, PositivePercent, Statuses

_Endpoints = Annotated[int, Field(ge=2)]


class OutlierOptions(Options):
    """What makes an endpoint an outlier, and for how long it is out."""

    consecutive_failures: PositiveInt | None = Field(
        5, description="Failures in a row, gateway errors among them, that eject at once; null for no such rule."
    )
    consecutive_gateway_errors: PositiveInt | None = Field(
        3,
        description="Gateway errors in a row that eject at once: no connection, one that broke, no answer in time, or "
        "those of 502, 503 and 504 that `statuses` has; null for no such rule.",
    )
    statuses: Statuses = Field(("5xx",), description="Statuses that are failures, such as 503, or 5xx for all of them.")
    interval: PositiveDuration = Field(
        Duration("10s"), description="How often the endpoints are compared, by what came since."
    )
    success_rate_deviations: Annotated[float, Field(gt=0, le=10)] | None = Field(
        1.9,
        description="An endpoint is ejected whose share of good answers is so many standard deviations below the mean "
        "of all; null for no such rule. With fewer than 5 endpoints none can be 1.9 below.",
    )
    success_rate_margin: Percent = Field(
        Percent("5%"), description="And at least so far below it, so that near-equals are left alone."
    )
    success_rate_endpoints: _Endpoints = Field(
        5, description="Endpoints that must have had `success_rate_requests` before they are compared."
    )
    success_rate_requests: PositiveInt = Field(
        100, description="Requests in the interval, in each worker, from which on an endpoint is compared."
    )
    failure_rate: PositivePercent | None = Field(
        None, description="An endpoint is ejected of whose requests in the interval such a share failed; null for none."
    )
    failure_rate_endpoints: PositiveInt = Field(
        3, description="Endpoints that must have had `failure_rate_requests` before that rule counts."
    )
    failure_rate_requests: PositiveInt = Field(
        50, description="Requests in the interval, in each worker, from which on that rule counts for an endpoint."
    )
    base_ejection: PositiveDuration = Field(
        Duration("30s"), description="How long an endpoint is out the first time; the nth time in a row n times that."
    )
    max_ejection: PositiveDuration = Field(Duration("5m"), description="How long it is out at most, before `jitter`.")
    jitter: Percent = Field(
        Percent("10%"), description="Each ejection lasts up to so much longer, so that not all come back at once."
    )
    max_ejected: PositivePercent = Field(
        Percent("50%"), description="Share of the endpoints that this policy ejects at most at a time, rounded down."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.max_ejection < self.base_ejection:
            wanted = f"{self.base_ejection} (base_ejection) or more"
            raise ValueError(f"max_ejection: expected {wanted}; got {self.max_ejection}")
        rules = (self.consecutive_failures, self.consecutive_gateway_errors, self.failure_rate)
        if all(rule is None for rule in (*rules, self.success_rate_deviations)):
            raise ValueError("expected one of the rules consecutive_failures to failure_rate; got null for each")
        return self
