"""`RetryBudgetOptions`: a retry budget as somebody writes it down; what it is spent on goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field, NonNegativeInt

from meshwright_sdk.plugin import Options
from meshwright_sdk.retry_budget import RetryBudget
from meshwright_sdk.shorthand import TextFor
from meshwright_sdk.units import Duration, Percent, PositiveDuration


class RetryBudgetOptions(Options):
    """How many attempts beyond the first the traffic of a worker may make."""

    share: Percent = Field(Percent("20%"), description="Attempts beyond the first, of the requests in the window.")
    minimum: NonNegativeInt = Field(
        50, description="So many in the window are allowed whatever the traffic, in each worker."
    )
    window: PositiveDuration = Field(
        Duration("10s"), description="What is looked back on; it moves on in tenths, which are forgotten as a whole."
    )

    def make(self, now: Callable[[], float]) -> RetryBudget:
        """Return such a budget; `now` gives seconds that never go back."""
        return RetryBudget(self.share, window_s=self.window, minimum=self.minimum, now=now)


RetryBudgetOrShare = Annotated[RetryBudgetOptions, TextFor("share", "a percentage")]
"""A budget in full, or its share alone: `budget: 20%`."""
