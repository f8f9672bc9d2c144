"""`PartMetrics`: what one part of a snapshot counts on; it ends with the last part that does. No exposition in here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from meshwright_sdk.metrics import LATENCY_BUCKETS_S, Counter, Gauge, Histogram, Labels, Metrics

Read = Callable[[], float]


class SharedMetrics:
    """The metrics of a worker, and which parts of its snapshots use each of them."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.users: dict[tuple[str, Labels], dict[PartMetrics, Read | None]] = {}

    def of_part(self) -> PartMetrics:
        """Return the metrics for a new part."""
        return PartMetrics(self)


class PartMetrics(Metrics):
    """The worker's metrics as one part sees them: what it asks for is the same object that other parts get.

    When it ends, what nobody else uses is shown no longer, and what is read is read from who came before.
    """

    __slots__ = ("_asked", "_shared")

    def __init__(self, shared: SharedMetrics) -> None:
        super().__init__()
        self.families = shared.metrics.families
        self._shared = shared
        self._asked: dict[tuple[str, Labels], Counter | Gauge | Histogram] = {}

    def counter(self, name: str, help: str, read: Read | None = None, **labels: str) -> Counter:
        """Return the counter of that name and labels."""
        counter = super().counter(name, help, read, **labels)
        self._note(name, labels, counter, read)
        return counter

    def gauge(self, name: str, help: str, read: Read | None = None, **labels: str) -> Gauge:
        """Return the gauge of that name and labels."""
        gauge = super().gauge(name, help, read, **labels)
        self._note(name, labels, gauge, read)
        return gauge

    def histogram(self, name: str, help: str, bounds: Sequence[float] = LATENCY_BUCKETS_S, **labels: str) -> Histogram:
        """Return the histogram of that name and labels."""
        histogram = super().histogram(name, help, bounds, **labels)
        self._note(name, labels, histogram, None)
        return histogram

    def end(self) -> None:
        """Use nothing any more; a second call does nothing."""
        for key, metric in self._asked.items():
            users = self._shared.users[key]
            read = users.pop(self)
            if not users:
                del self._shared.users[key]
                self._shared.metrics.remove(key[0], **dict(key[1]))
            elif read is not None and not isinstance(metric, Histogram) and metric.read is read:
                metric.read = next((each for each in reversed(users.values()) if each is not None), None)
        self._asked.clear()

    def _note(self, name: str, labels: dict[str, str], metric: Counter | Gauge | Histogram, read: Read | None) -> None:
        key = (name, tuple(sorted(labels.items())))
        users = self._shared.users.setdefault(key, {})
        users[self] = read if read is not None else users.get(self)
        self._asked[key] = metric
