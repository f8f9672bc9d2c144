"""`ListenerCounts`: what the connections of one listener count; what routes count is not in here."""

from __future__ import annotations

from meshwright_sdk.metrics import Counter, Metrics


class ListenerCounts:
    """Counters of one listener, reached by attribute; listeners of the same name share them across reloads."""

    __slots__ = ("_listener", "_metrics", "connections", "open", "received", "sent")

    def __init__(self, metrics: Metrics, listener: str) -> None:
        self._metrics = metrics
        self._listener = listener
        self.connections = metrics.counter(
            "meshwright_connections_total", "Connections from clients.", listener=listener
        )
        self.open = metrics.gauge("meshwright_connections_open", "Connections from clients now.", listener=listener)
        self.received = metrics.counter("meshwright_received_bytes_total", "Bytes from clients.", listener=listener)
        self.sent = metrics.counter("meshwright_sent_bytes_total", "Bytes to clients.", listener=listener)
        self._refusals(400)  # there before the first one, so that a rate can be taken of it

    def refused(self, status: int) -> None:
        """Count a request that was refused before any filter saw it whole, by the status of its answer."""
        self._refusals(status).value += 1

    def _refusals(self, status: int) -> Counter:
        return self._metrics.counter(
            "meshwright_refused_requests_total",
            "Requests refused before they were routed, or while their body was read.",
            listener=self._listener,
            status=str(status),
        )
