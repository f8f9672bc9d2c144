"""`Deadline`: ends a process that does not end by itself; how one ends in good order goes elsewhere."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from time import monotonic

logger = logging.getLogger("meshwright.deadline")

STOP_S = 12.0
"""How much longer than its grace a stop may take, for what is cut off to take note and for parts to close."""
EXIT_S = 3.0
"""How long the rest may take once everything was stopped: tasks that heed no cancellation, threads of plugins."""
OVERDUE = 124
"""The exit code of a process that had to be ended before it was drained and closed."""

_SHOWN = 20


class Deadline:
    """A thread, because the event loop may be what hangs; it does nothing until it is set.

    Setting it again replaces what was set. `exit_process` is what ends the process. Make it where the loop runs.
    """

    def __init__(self, exit_process: Callable[[int], object] = os._exit) -> None:
        self._exit = exit_process
        self._loop = asyncio.get_running_loop()
        # A signal handler must wait for no lock that the code it interrupts may hold: this queue's `put` never does.
        self._settings: SimpleQueue[tuple[float, int] | None] = SimpleQueue()
        threading.Thread(target=self._watch, name="deadline", daemon=True).start()

    def set(self, within_s: float, code: int = OVERDUE) -> None:
        """End the process with `code` in `within_s` seconds; may be called anywhere, signal handlers included."""
        self._settings.put((monotonic() + within_s, code))

    def close(self) -> None:
        """Let the process run, whatever is or will be set."""
        self._settings.put(None)

    def _watch(self) -> None:
        setting = self._settings.get()
        while setting is not None:
            due_s, code = setting
            try:
                setting = self._settings.get(timeout=max(0.0, due_s - monotonic()))
            except Empty:
                self._end(code)
                return

    def _end(self, code: int) -> None:
        try:
            logger.error(
                "this process does not end by itself; exiting with %d. What still runs: %s", code, self._left()
            )
        finally:
            self._exit(code)

    def _left(self) -> str:
        """Tell the tasks and threads that are left, each with the place where it is."""
        left = [*self._tasks(), *_threads()]
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        return ", ".join(left[:_SHOWN]) + more if left else "nothing known"

    def _tasks(self) -> Iterator[str]:
        for task in asyncio.all_tasks(self._loop):
            frames = task.get_stack(limit=1)
            yield f"task {task.get_name()}{_place(frames[0].f_code.co_filename, frames[0].f_lineno) if frames else ''}"


def _threads() -> Iterator[str]:
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None and thread is not threading.current_thread():
            innermost = traceback.extract_stack(frame, limit=1)[0]
            yield f"thread {thread.name}{_place(innermost.filename, innermost.lineno or 0)}"


def _place(file: str, line: int) -> str:
    return f" ({file}:{line})"
