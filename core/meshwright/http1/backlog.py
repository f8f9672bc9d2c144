"""`Backlog`: whether a peer still takes of what it is sent; what becomes of one that does not is decided elsewhere."""

from __future__ import annotations


class Backlog:
    """What a connection has let out, as sweeps see it while something waits in its buffer; made by the first of them.

    `left_bytes` is what was ever written without what waits: what is added to a buffer is no sign of life, and one
    that is filled up as fast as it is emptied is as full as before. Over TLS it lacks what encryption adds.
    """

    __slots__ = ("_left_bytes", "_moved_at")

    def __init__(self, left_bytes: int, now: float) -> None:
        self._left_bytes = left_bytes
        self._moved_at = now

    def stuck_s(self, left_bytes: int, now: float) -> float:
        """Return how long nothing has left, in seconds."""
        if left_bytes > self._left_bytes:
            self._moved_at = now
        self._left_bytes = left_bytes
        return now - self._moved_at
