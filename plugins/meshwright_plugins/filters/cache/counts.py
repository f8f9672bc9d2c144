"""What the cache counts, as metrics; counting is done where things happen."""

from __future__ import annotations

from meshwright_sdk import Context

_RESULTS = ("hit", "stale", "revalidated", "miss", "collapsed", "bypass")


class Counts:
    """Requests by what the cache made of them."""

    __slots__ = ("bypass", "collapsed", "hit", "miss", "revalidated", "stale")

    def __init__(self, context: Context) -> None:
        name, help = "meshwright_cache_requests_total", "Requests by what the cache made of them."
        counters = context.metrics.counters(name, help, "result", _RESULTS, **context.labels)
        self.hit, self.stale, self.revalidated, self.miss, self.collapsed, self.bypass = counters.values()

    def shown(self) -> dict[str, int]:
        return {result: int(getattr(self, result).value) for result in _RESULTS}
