"""`Part`: something a snapshot uses that may outlive it; what the parts are is decided where they are built."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from meshwright_sdk.tasks import Tasks

logger = logging.getLogger("meshwright.parts")


@dataclass(slots=True, eq=False)
class Part:
    """A filter, a service or a store in use.

    `key` says which one it is across reloads, `fingerprint` what it was built from: where both are equal the
    next snapshot takes it over with its state. `path` is its place in the YAML, `tasks` its background work.
    `holders` counts the snapshots that use it; the last one to let go closes it.
    """

    key: Hashable
    fingerprint: Any
    value: Any
    path: tuple[str | int, ...] = ()
    tasks: Tasks = field(default_factory=Tasks)
    holders: int = field(default=0, init=False)

    async def start(self) -> None:
        """Start it; only for a part that is new."""
        start = getattr(self.value, "start", None)
        if start is not None:
            await start()

    async def close(self) -> None:
        """Close it; what goes wrong is logged, so that the others are closed too."""
        close = getattr(self.value, "close", None)
        try:
            if close is not None:
                await close()
        except Exception:
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
            await part.close()
