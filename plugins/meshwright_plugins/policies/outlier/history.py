"""`History`: what one endpoint has done of late, and how often it was out; nothing is decided in here."""

from __future__ import annotations

from math import inf
from typing import Any

from meshwright_sdk import Endpoint


class History:
    """The counts of one endpoint. `until` is when it is put back, and infinite while it is in.

    `since` is when it was added or put back: attempts from before tell nothing. `times` is how often in a row it was
    ejected, which makes the next ejection longer; intervals in which all its answers were good make up for it.
    """

    __slots__ = (
        "ejections",
        "endpoint",
        "failures",
        "failures_in_a_row",
        "gateway_errors_in_a_row",
        "reason",
        "since",
        "success_rate",
        "successes",
        "times",
        "until",
    )

    def __init__(self, endpoint: Endpoint, now: float) -> None:
        self.endpoint = endpoint
        self.times = 0
        self.ejections = 0
        self.reason = ""
        self.success_rate: float | None = None
        self.forget(now)

    def forget(self, now: float) -> None:
        """Begin anew, with an endpoint that is in."""
        self.until = inf
        self.since = now
        self.successes = self.failures = 0
        self.failures_in_a_row = self.gateway_errors_in_a_row = 0

    @property
    def is_out(self) -> bool:
        """Whether it is ejected."""
        return self.until < inf

    @property
    def requests(self) -> int:
        """How many attempts of this interval were judged."""
        return self.successes + self.failures

    def end_interval(self) -> None:
        """Count from nought again, and make up for an ejection after an interval without a failure."""
        if self.requests and not self.is_out:
            self.success_rate = self.successes / self.requests
            if not self.failures and self.times:
                self.times -= 1
        self.successes = self.failures = 0

    def describe(self, now: float) -> dict[str, Any]:
        """Return what people want to know of it."""
        shown: dict[str, Any] = {
            "ejected": self.is_out,
            "ejections": self.ejections,
            "requests": self.requests,
            "failures": self.failures,
            "failures_in_a_row": self.failures_in_a_row,
            "success_rate": self.success_rate,
        }
        if self.reason:
            shown["last_reason"] = self.reason
        if self.is_out:
            shown["back_in_s"] = round(self.until - now, 3)
        return shown
