"""`StopSignals`: SIGTERM and SIGINT, also when the event loop stands still; what a stop does goes elsewhere."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from time import monotonic
from types import FrameType

from meshwright.processes.deadline import STOP_S, Deadline

logger = logging.getLogger("meshwright.supervisor")

AT_ONCE = 130
"""The exit code after a second signal, which cuts running requests off."""
UNHEARD_S = 1.0
"""A loop that has not heard of a signal for so long stands still."""


class StopSignals:
    """The first signal sets `stop`, another one `at_once`; from each on the process ends in bounded time.

    The loop hears of signals when it turns. A filter that blocks it keeps it from that, so that the deadline is set
    where Python itself handles a signal: between two instructions of whatever runs. There a second signal ends a
    process whose loop has not heard of the first one.
    """

    def __init__(self, deadline: Deadline, exit_process: Callable[[int], object] = os._exit) -> None:
        self.stop = asyncio.Event()
        self.at_once = asyncio.Event()
        self._deadline = deadline
        self._exit = exit_process
        self._within_s = 0.0
        self._first_s = 0.0

    def listen(self, within_s: float) -> None:
        """Heed them from now on; `within_s` is how long the process may take to end after the first one."""
        self._within_s = within_s
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._hear)
            # The loop hears by its wake-up socket. The handler it has put here does nothing, and may be replaced.
            signal.signal(number, self._note)
            signal.siginterrupt(number, False)

    def _hear(self) -> None:
        if self.stop.is_set():
            self.at_once.set()
            self._deadline.set(STOP_S, AT_ONCE)
        else:
            self.stop.set()

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = monotonic()
        if not self._first_s:
            self._first_s = now
            self._deadline.set(self._within_s)
        elif self.stop.is_set() or now - self._first_s < UNHEARD_S:
            self._deadline.set(STOP_S, AT_ONCE)
        else:
            self._give_up(frame)

    def _give_up(self, frame: FrameType | None) -> None:
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "an unknown place"
        try:
            logger.error("the event loop stands still at %s; exiting with %d", place, AT_ONCE)
        finally:
            self._exit(AT_ONCE)
