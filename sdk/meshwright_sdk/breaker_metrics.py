"""`BreakerMetrics`: how many breakers are in which state, and what they did; what they do it for goes elsewhere."""

from __future__ import annotations

from meshwright_sdk.breaker import STATES
from meshwright_sdk.metrics import Metrics


class BreakerMetrics:
    """Counts breakers by state, and their transitions.

    The gauge is how many are in a state, so that it can be added up over workers, and over what a reload replaces
    and what it puts there. Whoever calls `joined` calls `left` at the end.
    """

    __slots__ = ("_gauges", "_transitions")

    def __init__(self, metrics: Metrics, prefix: str, noun: str, **labels: str) -> None:
        self._gauges = {
            state: metrics.gauge(
                f"{prefix}_state", f"{noun} in each state, of all workers.", None, state=state, **labels
            )
            for state in STATES
        }
        self._transitions = metrics.counters(
            f"{prefix}_transitions_total", f"{noun} that went into a state.", "to", STATES, **labels
        )

    def joined(self, state: str) -> None:
        """Count one more breaker."""
        self._gauges[state].value += 1

    def left(self, state: str) -> None:
        """Count a breaker no longer."""
        self._gauges[state].value -= 1

    def moved(self, before: str, after: str) -> None:
        """Count a transition."""
        self.left(before)
        self.joined(after)
        self._transitions[after].value += 1
