"""Counters, gauges and histograms as plain objects; exposition formats and adding up workers go elsewhere."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

LATENCY_BUCKETS_S = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Counter:
    """A number that only grows: `counter.value += 1`, or give `read`, which is called when it is asked for."""

    __slots__ = ("read", "value")

    def __init__(self, read: Callable[[], float] | None = None) -> None:
        self.value: float = 0
        self.read = read


class Gauge:
    """A number that goes up and down: assign to `value`, or give `read`, which is called when it is asked for."""

    __slots__ = ("read", "value")

    def __init__(self, read: Callable[[], float] | None = None) -> None:
        self.value: float = 0
        self.read = read


class Histogram:
    """Observations counted by upper bound (a value equal to a bound belongs to it)."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = LATENCY_BUCKETS_S) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


Metric = Counter | Gauge | Histogram
Labels = tuple[tuple[str, str], ...]


class Family:
    """Every metric of one name, by its labels."""

    __slots__ = ("help", "kind", "metrics", "name")

    def __init__(self, name: str, kind: str, help: str) -> None:
        self.name = name
        self.kind = kind
        self.help = help
        self.metrics: dict[Labels, Metric] = {}


class Metrics:
    """The metrics of one worker: ask once when a plugin is built, keep the object, count on it.

    Asking again for the same name and labels returns the same object, so counts outlive a reload; what a plugin asked
    its context for is shown until the last use that asked for it has gone. A name that Prometheus cannot read, or that
    is already of another kind, raises ValueError.
    """

    __slots__ = ("families",)

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}

    def counter(self, name: str, help: str, read: Callable[[], float] | None = None, **labels: str) -> Counter:
        """Return the counter of that name and labels; `read`, when given, replaces the one before."""
        counter: Counter = self._metric(name, "counter", help, labels, Counter)
        if read is not None:
            counter.read = read
        return counter

    def counters(self, name: str, help: str, by: str, values: Iterable[str], **labels: str) -> dict[str, Counter]:
        """Return the counters of that name and labels for each value of one label more, `by`."""
        return {value: self.counter(name, help, None, **{by: value}, **labels) for value in values}

    def gauge(self, name: str, help: str, read: Callable[[], float] | None = None, **labels: str) -> Gauge:
        """Return the gauge of that name and labels; `read`, when given, replaces the one before."""
        gauge: Gauge = self._metric(name, "gauge", help, labels, Gauge)
        if read is not None:
            gauge.read = read
        return gauge

    def histogram(self, name: str, help: str, bounds: Sequence[float] = LATENCY_BUCKETS_S, **labels: str) -> Histogram:
        """Return the histogram of that name and labels; `bounds` are ascending upper bounds."""
        histogram: Histogram = self._metric(name, "histogram", help, labels, lambda: Histogram(bounds))
        return histogram

    def remove(self, name: str, **labels: str) -> None:
        """Show the metric of that name and labels no longer; who counts on its object counts for nobody."""
        family = self.families.get(name)
        if family is not None:
            family.metrics.pop(_key(labels), None)

    def _metric(self, name: str, kind: str, help: str, labels: dict[str, str], make: Callable[[], Any]) -> Any:
        family = self.families.get(name)
        if family is None:
            family = self.families[name] = Family(_checked(name), kind, help)
        if family.kind != kind:
            raise ValueError(f"metric {name}: expected kind {family.kind}, as before; got {kind}")
        key = _key(labels)
        metric = family.metrics.get(key)
        if metric is None:
            for label in labels:
                _checked(label)
            metric = family.metrics[key] = make()
        return metric


def _key(labels: dict[str, str]) -> Labels:
    return tuple(sorted(labels.items())) if len(labels) > 1 else tuple(labels.items())


@lru_cache(maxsize=1024)  # 10,000 routes have 70,000 metrics of three names
def _checked(name: str) -> str:
    """Return the name of a metric or label; one wrong name would spoil the page for every other metric."""
    if _NAME.fullmatch(name) is None or name == "le":
        raise ValueError(f"metric: expected a name of letters, digits and _, such as cache_hits_total; got {name!r}")
    return name
