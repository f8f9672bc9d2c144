"""`Tasks`: the one way to run work in the background; nothing of the request path goes in here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger("meshwright.tasks")


class Tasks:
    """Background work with one owner: named, kept alive, its failure logged, cancelled at close."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run `work` beside the caller; needs a running loop."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def __len__(self) -> int:
        """The number of tasks that are still running."""
        return len(self._tasks)

    async def close(self, *, grace_s: float = 0.0) -> None:
        """Cancel everything and wait until it has ended; a task that calls this does not cancel itself.

        What ends by itself within `grace_s` seconds is not cancelled.
        """
        tasks = self._tasks - {asyncio.current_task()}
        if grace_s > 0 and tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("background task %s failed", task.get_name(), exc_info=error)
