"""What the cache counts, as metrics; counting is done where things happen."""

from __future__ import annotations

from meshwright_sdk import Context

_RESULTS = ("hit", "stale", "revalidated", "miss", "collapsed", "bypass")


class Counts:
    """Requests by what the cache made of them."""

    __slots__ = ("bypass", "collapsed", "hit", "miss", "revalidated", "stale")

    def __init__(self, context: Context, owner: str) -> None:
        self.hit, self.stale, self.revalidated, self.miss, self.collapsed, self.bypass = (
            context.metrics.counter(
                "meshwright_cache_requests_total",
                "Requests by what the cache made of them.",
                route=owner,
                result=result,
            )
            for result in _RESULTS
        )

    def shown(self) -> dict[str, int]:
        return {result: int(getattr(self, result).value) for result in _RESULTS}
