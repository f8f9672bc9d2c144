"""`watch`: notices a worker that does not answer any more; what becomes of it goes elsewhere."""

from __future__ import annotations

import asyncio
import logging

from meshwright.processes.control_channel import CallFailedError
from meshwright.processes.remote import RemoteWorker

logger = logging.getLogger("meshwright.supervisor")

ASK_EVERY_S = 5.0
MISSES = 3
"""So many questions in a row must go unanswered, for the one who asks may have been stopped for a while itself."""


async def watch(worker: RemoteWorker, every_s: float = ASK_EVERY_S) -> None:
    """Ask for its status again and again; give the worker up when it has stopped answering, and return.

    While it prepares a version it may import for long; how long is not decided here.
    """
    misses = 0
    while misses < MISSES:
        try:
            async with asyncio.timeout(every_s):
                await worker.status()
        except TimeoutError:
            misses = 0 if worker.preparing else misses + 1
            continue
        except ConnectionError:
            return
        except CallFailedError:
            logger.debug("worker %s answers, though not with its status", worker.name)
        misses = 0
        await asyncio.sleep(every_s)
    logger.error("worker %s (process %d) does not answer; it is killed", worker.name, worker.pid)
    worker.give_up()
