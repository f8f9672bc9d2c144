"""The options of `concurrency`; what is done with them goes elsewhere."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from meshwright_plugins.filters.concurrency.gradient_limit import GradientSettings
from meshwright_sdk import Duration, Options, PositiveDuration

Tolerance = Annotated[float, Field(strict=True, ge=1, le=10)]
Share = Annotated[float, Field(strict=True, gt=0, le=1)]


class AdaptiveOptions(Options):
    """How the limit follows the latency."""

    initial_limit: PositiveInt = Field(20, description="The limit to begin with.")
    min_limit: PositiveInt = Field(3, description="The limit is never below.")
    max_limit: PositiveInt = Field(200, description="The limit is never above, in each worker.")
    tolerance: Tolerance = Field(
        1.5, description="How many times the usual latency counts as no slower; 1 to 10. More lets a longer queue form."
    )
    smoothing: Share = Field(
        0.5, description="How much of the way to what a window asks for the limit goes at once, above 0 to 1."
    )
    window: PositiveDuration = Field(
        Duration("100ms"), description="How long latencies are gathered; never less than usual."
    )
    probe_every: PositiveDuration = Field(
        Duration("30s"),
        description="How often the limit is a quarter for one window, to measure the latency without a queue.",
    )
    slowest: Duration | None = Field(
        None, description="A latency above it never becomes usual, so that the limit stays low as long as it lasts."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.min_limit <= self.initial_limit <= self.max_limit:
            raise ValueError(
                "expected min_limit, initial_limit and max_limit in ascending order; "
                f"got {self.min_limit}, {self.initial_limit} and {self.max_limit}"
            )
        return self

    def settings(self) -> GradientSettings:
        """Return them as the limit takes them."""
        return GradientSettings(
            initial=self.initial_limit,
            least=self.min_limit,
            most=self.max_limit,
            tolerance=self.tolerance,
            smoothing=self.smoothing,
            window_s=self.window,
            probe_every_s=self.probe_every,
            slowest_s=self.slowest,
        )


class ConcurrencyOptions(Options):
    """How many at once, and who waits."""

    limit: PositiveInt | None = Field(None, description="A fixed limit: requests in flight at once, in each worker.")
    adaptive: AdaptiveOptions | None = Field(
        None, description="A limit that follows the latency, in place of a fixed one; `adaptive: {}` will often do."
    )
    max_waiting: NonNegativeInt = Field(100, description="Requests that wait for a permit at once; 0 for none.")
    max_wait: Duration = Field(Duration("100ms"), description="How long a request waits for a permit.")
    retry_after: Duration = Field(
        Duration("1s"), description="What a refused client is told to wait, in whole seconds, rounded up."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.limit is None) == (self.adaptive is None):
            raise ValueError(f"expected one of limit and adaptive; got {'neither' if self.limit is None else 'both'}")
        return self
