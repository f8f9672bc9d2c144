"""`Observers`: a service's balancer and policies, as far as they want to learn of endpoints and attempts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from meshwright.plugin_host.frames import describe_failure
from meshwright_sdk.attempt import Attempt, AttemptObserver
from meshwright_sdk.balancing import Endpoint
from meshwright_sdk.clock import Clock
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response

logger = logging.getLogger("meshwright.service")


class Observers:
    """Tells those of attempts who define a method of `AttemptObserver` for them; a failure of one is logged.

    `of_attempts` is False where nobody wants to hear of any, so that none is made.
    """

    __slots__ = ("_began", "_ended", "_now", "of_attempts")

    def __init__(self, observers: Sequence[AttemptObserver], clock: Clock) -> None:
        self._now = clock.monotonic
        self._began = _defined(observers, "began")
        self._ended = _defined(observers, "ended")
        self.of_attempts = bool(self._began or self._ended)

    def begin(self, endpoint: Endpoint, request: Request) -> Attempt:
        """Return an attempt that begins now, which `end` is to follow."""
        attempt = Attempt(endpoint, request, self._now())
        _tell(self._began, attempt)
        return attempt

    def end(self, attempt: Attempt, response: Response | None, error: BaseException | None) -> None:
        """Tell what became of it."""
        attempt.response, attempt.error = response, error
        attempt.seconds = self._now() - attempt.began
        _tell(self._ended, attempt)


def tell_changes(observers: Sequence[AttemptObserver], before: Sequence[Endpoint], after: Sequence[Endpoint]) -> None:
    """Tell those who want to know of the endpoints that have come and gone; a failure of one is logged."""
    removed, added = _defined(observers, "removed"), _defined(observers, "added")
    if removed or added:
        known, present = set(before), set(after)
        for endpoint in before:
            if endpoint not in present:
                _tell(removed, endpoint)
        for endpoint in after:
            if endpoint not in known:
                _tell(added, endpoint)


def _defined(observers: Sequence[AttemptObserver], method: str) -> tuple[Callable[[Any], None], ...]:
    return tuple(
        getattr(each, method)
        for each in observers
        if getattr(type(each), method) is not getattr(AttemptObserver, method)
    )


def _tell(listeners: Sequence[Callable[[Any], None]], what: object) -> None:
    for listener in listeners:
        try:
            listener(what)
        except (Exception, SystemExit) as error:
            logger.error("%s raised %s", getattr(listener, "__qualname__", listener), describe_failure(error))
