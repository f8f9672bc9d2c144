"""`Timeouts`: bounds for waits that are nearly always in time, at a fraction of a timer's price; no policy in here."""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType

from meshwright_sdk.clock import Alarm, Clock

logger = logging.getLogger("meshwright.timeouts")

TICK_S = 0.005
"""Timers that are due within the same tick fire together, at its end."""

_PER_S = 200
_NEVER = 1 << 62
_SLACK_S = 0.001  # what an event loop may call early
EXPIRED = "no answer in time"
"""The message of the cancellation by `Timeouts.until`; whoever is asked for an answer is to blame."""
DEADLINE = "nobody waits any longer"
"""The same for a deadline that came with the request; nobody is to blame."""


class Timer:
    """Something to do when a wait takes too long; a subclass says what, in `fire`.

    Give it to `Timeouts.start`, and `stop` it when what it bounds has ended.
    """

    __slots__ = ("_slot", "_timeouts", "_waiting")

    _timeouts: Timeouts
    _slot: int
    _waiting: dict[Timer, None] | None
    """The timers of the same tick, or None when it does not run."""

    def __init__(self) -> None:
        self._waiting = None

    def fire(self) -> None:
        """Do what is to be done when the time is over; called once, never after `stop`. It must not wait."""
        raise NotImplementedError

    def stop(self) -> None:
        """Have it never fire; does nothing when it has, or was stopped."""
        waiting = self._waiting
        if waiting is not None:
            self._waiting = None
            del waiting[self]
            if not waiting:
                del self._timeouts._slots[self._slot]

    @property
    def running(self) -> bool:
        """Whether it may still fire."""
        return self._waiting is not None


class TimeBound(Timer):
    """The block of `with timeouts.until(...)`; `expired` says afterwards, and within, whether its time was over."""

    __slots__ = ("_cancelling", "_message", "_task", "expired")

    _task: asyncio.Task[object]
    _cancelling: int

    def __init__(self, timeouts: Timeouts, due: float, message: str) -> None:
        self._timeouts = timeouts
        self._message = message
        self._slot = int(due * _PER_S) + 1
        self._waiting = None
        self.expired = False

    def __enter__(self) -> TimeBound:
        timeouts, slot = self._timeouts, self._slot
        task = self._task = timeouts.current_task()
        self._cancelling = task.cancelling()
        # What `Timeouts.start` does: a call would cost a tenth of the whole block.
        waiting = self._waiting = timeouts._slots.get(slot)
        if waiting is None:
            waiting = self._waiting = timeouts._open(slot)
        waiting[self] = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        waiting = self._waiting
        if waiting is not None:
            self._waiting = None
            del waiting[self]
            if not waiting:
                del self._timeouts._slots[self._slot]
            return False
        # Who else has cancelled the task is to be obeyed: then the count stays above what it was (as in asyncio).
        return self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError

    def fire(self) -> None:
        """Cancel the task that is in the block."""
        self.expired = True
        self._task.cancel(self._message)


class Wakeup(Timer):
    """Ends a sleep."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[None]) -> None:
        self._waiting = None
        self.future = future

    def fire(self) -> None:
        """Wake the sleeper, unless it was cancelled."""
        if not self.future.done():
            self.future.set_result(None)


class Timeouts:
    """Timers that share one call of the event loop: it is set to when the first may be due, and not for each.

    Starting and stopping one is a few look-ups, whatever the number of them. One fires never early and at most about
    10 ms late, as long as nothing blocks the loop; what one raises is logged. `due` is in seconds of the clock's
    `monotonic`. Make one object for each use of a plugin: it is best when times are alike.
    """

    __slots__ = ("_alarm", "_clock", "_loop", "_now", "_slots", "_wake")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now = clock.monotonic
        self._slots: dict[int, dict[Timer, None]] = {}
        self._wake = _NEVER
        self._alarm: Alarm | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def until(self, due: float, message: str = EXPIRED) -> TimeBound:
        """Return a block for `with` that is left, without an exception, when it takes longer than until `due`.

        What runs in it is cancelled then, with a cancellation that goes no further than the block. A cancellation
        from elsewhere goes on, also when both come at once. So the line after a block that returns is reached by
        none but those who are late::

            with timeouts.until(due):
                return await call_next(request)
            raise UpstreamTimeoutError("upstream: no answer in time")

        `message` is that of the cancellation: EXPIRED, or DEADLINE where the time is the client's.
        """
        return TimeBound(self, due, message)

    def start(self, timer: Timer, due: float) -> None:
        """Have the timer fire when `due` is over; it must not run already."""
        slot = int(due * _PER_S) + 1
        waiting = self._slots.get(slot)
        if waiting is None:
            waiting = self._open(slot)
        waiting[timer] = None
        timer._timeouts = self
        timer._slot = slot
        timer._waiting = waiting

    def until_due(self, due: float) -> asyncio.Future[None]:
        """Return a future to await that is done when `due` is over, with all that are due in the same tick.

        To cancel whoever awaits it is enough to end it. It takes 2.1 µs where `asyncio.sleep` takes 3.4, with 4,000
        that sleep at once.
        """
        wakeup = Wakeup((self._loop or self._find_loop()).create_future())
        self.start(wakeup, due)
        return wakeup.future

    def __len__(self) -> int:
        """The number of timers that run."""
        return sum(map(len, self._slots.values()))

    def _open(self, slot: int) -> dict[Timer, None]:
        waiting = self._slots[slot] = {}
        if slot < self._wake:
            self._set_alarm(slot)
        return waiting

    def current_task(self) -> asyncio.Task[object]:
        """Return the task that runs, at a fifth of the price of asyncio's function; raises RuntimeError outside."""
        loop = self._loop  # to find it costs more than all the rest
        task = asyncio.current_task(loop) if loop is not None else None
        return task if task is not None else self._find_task()

    def _find_loop(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _find_task(self) -> asyncio.Task[object]:
        task = asyncio.current_task(self._find_loop())
        if task is None:
            raise RuntimeError("timeouts: expected to be used in a task; got none")
        return task

    def _set_alarm(self, slot: int) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._wake = slot
        self._alarm = self._clock.call_later(max(0.0, slot / _PER_S - self._now()) + _SLACK_S, self._ring)

    def _ring(self) -> None:
        self._wake = _NEVER
        self._alarm = None
        ended = int(self._now() * _PER_S)
        for slot in sorted(slot for slot in self._slots if slot <= ended):
            self._fire(slot)
        if self._slots:
            first = min(self._slots)
            if first < self._wake:
                self._set_alarm(first)

    def _fire(self, slot: int) -> None:
        waiting = self._slots.get(slot, {})
        for timer in tuple(waiting):
            if timer._waiting is waiting:  # one that fired before may have stopped it
                timer.stop()
                try:
                    timer.fire()
                except Exception:
                    logger.exception("%s raised", type(timer).__qualname__)
