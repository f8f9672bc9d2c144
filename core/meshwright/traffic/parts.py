"""`Part`: something a snapshot uses that may outlive it; what the parts are is decided where they are built."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from meshwright.traffic.part_metrics import PartMetrics, SharedMetrics
from meshwright_sdk.metrics import Metrics
from meshwright_sdk.plugin import Plugin
from meshwright_sdk.tasks import Tasks

logger = logging.getLogger("meshwright.parts")

CLOSE_S = 10.0
"""How long a part may take to close, its background work included; whatever it does then goes on unwatched."""


@dataclass(slots=True, eq=False)
class Part:
    """A filter, a service or a store in use.

    `key` says which one it is across reloads, `fingerprint` what it was built from: where both are equal the
    next snapshot takes it over with its state. `path` is its place in the YAML; `tasks` is the background work of
    the plugins in it, which ends after they are closed, and `metrics` what they count on, which ends with the part.
    `holders` counts the snapshots that use it; the last one
    to let go closes it.
    """

    key: Hashable
    fingerprint: Any
    value: Any
    path: tuple[str | int, ...] = ()
    tasks: Tasks = field(default_factory=Tasks)
    metrics: PartMetrics = field(default_factory=lambda: SharedMetrics(Metrics()).of_part())
    holders: int = field(default=0, init=False)

    @property
    def has_start(self) -> bool:
        """Whether its start does anything; of ten thousand filters hardly one does."""
        start = getattr(self.value, "start", None)
        return start is not None and getattr(start, "__func__", None) is not Plugin.start

    async def start(self) -> None:
        """Start it; only for a part that is new. That it calls `sys.exit` is a failure as any other."""
        start = getattr(self.value, "start", None)
        try:
            if start is not None:
                await start()
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(f"it raised {type(error).__name__}").with_traceback(error.__traceback__) from error

    async def close(self, within_s: float = CLOSE_S) -> None:
        """Close it; what goes wrong or takes too long is logged, so that the others are closed too.

        It is closed in a task of its own, for one that does not heed its cancellation can only be left alone.
        """
        if not (self._has_close or len(self.tasks)):
            return
        closing = asyncio.get_running_loop().create_task(self._close(), name=f"close of {self.key}")
        try:
            _, hanging = await asyncio.wait([closing], timeout=within_s)
        finally:
            closing.cancel()
        if hanging:
            logger.error("closing %s takes longer than %g s; going on without it", self.key, within_s)

    @property
    def _has_close(self) -> bool:
        close = getattr(self.value, "close", None)
        return close is not None and getattr(close, "__func__", None) is not Plugin.close

    async def _close(self) -> None:
        close = getattr(self.value, "close", None)
        try:
            if close is not None:
                await close()
        except asyncio.CancelledError:
            logger.debug("closing %s was cancelled", self.key)
        except BaseException:
            logger.exception("closing %s failed", self.key)
        await self.tasks.close()


def hold(parts: Iterable[Part]) -> None:
    """Take note that one more snapshot uses the parts."""
    for part in parts:
        part.holders += 1


async def release(parts: Iterable[Part]) -> None:
    """Take note that a snapshot no longer uses the parts; those that nobody uses are closed, last started first."""
    for part in reversed(tuple(parts)):
        part.holders -= 1
        if part.holders == 0:
            try:
                await part.close()
            finally:
                part.metrics.end()
