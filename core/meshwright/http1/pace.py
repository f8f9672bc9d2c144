"""`ContentPace`: how fast a request's content comes, of the time in which somebody wants it; no clock goes in here."""

from __future__ import annotations

from meshwright.http1.settings import ServerLimits


class ContentPace:
    """One content that is being read; times are of one clock, in seconds."""

    __slots__ = ("_moved_at", "_paused", "_seen", "_since", "_spent_s")

    def __init__(self, now: float, *, paused: bool) -> None:
        self._since = self._moved_at = now
        self._paused = paused
        self._spent_s = 0.0
        self._seen = 0

    def pause(self, now: float) -> None:
        """Nobody wants more for now, which is not the client's fault."""
        self._paused = True
        self._spent_s += now - self._since

    def resume(self, now: float) -> None:
        """Go on."""
        self._paused = False
        self._since = self._moved_at = now

    def restart(self, now: float) -> None:
        """The client has had no reason to send so far."""
        if not self._paused:
            self._since = self._moved_at = now

    def late(self, received: int, now: float, limits: ServerLimits) -> str:
        """Return what is wrong with the pace after `received` bytes, or an empty text."""
        if received != self._seen:
            self._seen = received
            self._moved_at = now
        if self._paused:
            return ""
        if now - self._moved_at > limits.body_timeout_s:
            return f"got nothing for {limits.body_timeout_s:g} s"
        spent_s = self._spent_s + now - self._since
        if spent_s > limits.body_grace_s + received / limits.body_rate_per_s:
            return f"got less than {limits.body_rate_per_s:g} bytes/s"
        return ""
