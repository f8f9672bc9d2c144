"""`ListenerCounts`: what the connections of one listener count; what routes count is not in here."""

from __future__ import annotations

from meshwright_sdk.metrics import Metrics


class ListenerCounts:
    """Counters of one listener, reached by attribute; listeners of the same name share them across reloads."""

    __slots__ = ("connections", "open", "received", "sent")

    def __init__(self, metrics: Metrics, listener: str) -> None:
        self.connections = metrics.counter(
            "meshwright_connections_total", "Connections from clients.", listener=listener
        )
        self.open = metrics.gauge("meshwright_connections_open", "Connections from clients now.", listener=listener)
        self.received = metrics.counter("meshwright_received_bytes_total", "Bytes from clients.", listener=listener)
        self.sent = metrics.counter("meshwright_sent_bytes_total", "Bytes to clients.", listener=listener)
