"""`WorkerHandle`: what the control side asks of a worker, be it in this process or another; no doing goes in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from meshwright.processes.exposition import FamilyDump
from meshwright.processes.reading import Reading

Act = tuple[str, str, Mapping[str, str]]
"""What a plugin was told to do by hand: which use, the action, and its arguments."""


class WorkerHandle(Protocol):
    """A worker that carries traffic.

    Whoever calls puts a timeout around it. Every method raises ConnectionError when the worker is gone.
    """

    @property
    def name(self) -> str:
        """The worker's number, which its replacement takes over."""

    @property
    def pid(self) -> int:
        """The process it runs in."""

    async def prepare(self, reading: Reading, version: int) -> None:
        """Build everything for `version` beside what is in use; raises ConfigError and then keeps nothing."""

    async def commit(self, version: int, acts: Sequence[Act] = ()) -> None:
        """Serve the version that was prepared from now on, with `acts` done before its first request.

        One that cannot be done is passed over.
        """

    async def discard(self, version: int) -> None:
        """Drop what was, or is being, prepared; a version that is unknown is no error."""

    async def status(self) -> dict[str, Any]:
        """Return `pid`, `version`, `listeners` and `services` as JSON can say them."""

    async def metrics(self) -> Sequence[FamilyDump]:
        """Return everything counted since the worker began."""

    async def explain(self, method: str, url: str, headers: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Return what would become of a request; raises ValueError for what is no request."""

    async def state(self) -> dict[str, Any]:
        """Return what plugins show of themselves, by the names of their uses, as JSON can say it."""

    async def act(self, use: str, action: str, arguments: Mapping[str, str]) -> bool:
        """Have a plugin do something, and return whether that lasts; raises ValueError for what cannot be done."""

    async def stop(self, grace_s: float) -> None:
        """Accept nothing more, let running requests end, and return when they have or the time is over."""

    def give_up(self) -> None:
        """Take note that the worker is of no more use, so that it is replaced where that is possible."""
