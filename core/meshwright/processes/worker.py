"""`LocalWorker`: a gateway and its listeners in this process, as the control side sees a worker."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from meshwright.config import config_error, problems_in
from meshwright.config.problems import did_you_mean
from meshwright.plugin_host.frames import describe_failure
from meshwright.processes.collector import collector
from meshwright.processes.exposition import FamilyDump, dump
from meshwright.processes.listeners import Listeners, PreparedListener
from meshwright.processes.reading import Reading
from meshwright.processes.vitals import Vitals
from meshwright.processes.worker_handle import Act
from meshwright.traffic.gateway import Gateway
from meshwright.traffic.snapshot import Snapshot
from meshwright_sdk import ConfigError, Metrics, Tasks

if TYPE_CHECKING:
    from meshwright.traffic.uses import Use

logger = logging.getLogger("meshwright.worker")


@dataclass(frozen=True, slots=True)
class _Prepared:
    snapshot: Snapshot
    listeners: list[PreparedListener]


class LocalWorker:
    """Carries traffic in the process that made it; a `WorkerHandle`."""

    def __init__(self, name: str, ports: Mapping[str, int]) -> None:
        self.name = name
        self.pid = os.getpid()
        self._metrics = Metrics()
        self._gateway = Gateway(metrics=self._metrics)
        self._listeners = Listeners(self._gateway.handle, self._metrics, worker=name, reuse_port=True, ports=ports)
        self._prepared: dict[int, _Prepared] = {}
        self._preparing: dict[int, asyncio.Task[Any] | None] = {}
        self._tasks = Tasks()
        self._tasks.spawn(Vitals(self._metrics, name).run(), name="vitals")

    async def prepare(self, reading: Reading, version: int) -> None:
        """Build the snapshot and bind its new listeners."""
        self._preparing[version] = asyncio.current_task()
        try:
            with collector.away():
                self._prepared[version] = await self._prepare(reading, version)
        finally:
            del self._preparing[version]

    async def commit(self, version: int, acts: Sequence[Act] = ()) -> None:
        """Serve `version`; listeners that are no longer in it drain in the background."""
        prepared = self._prepared.pop(version)
        first = self._gateway.snapshot is None
        await self._gateway.commit(prepared.snapshot)
        self._do_again(acts)  # no request has come between, for that was one step of the loop
        self._listeners.commit(prepared.listeners)
        if first:
            self._tell("meshwright_started")

    async def discard(self, version: int) -> None:
        """Drop what was prepared; a preparation that still runs is cancelled, which cleans up after itself."""
        task = self._preparing.get(version)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        prepared = self._prepared.pop(version, None)
        if prepared is not None:
            await self._drop(prepared)

    async def status(self) -> dict[str, Any]:
        """Return what this worker serves and how it is doing."""
        snapshot = self._gateway.snapshot
        return {
            "pid": self.pid,
            "version": snapshot.version if snapshot else 0,
            "listeners": [asdict(bound) for bound in self._listeners.bound],
            "services": [service.status() for service in snapshot.services.values()] if snapshot else [],
        }

    async def metrics(self) -> Sequence[FamilyDump]:
        """Return everything counted since the worker began."""
        return dump(self._metrics)

    async def explain(self, method: str, url: str, headers: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Return what would become of a request; raises ValueError for what is no request."""
        from meshwright.traffic.explain import explain

        assert self._gateway.snapshot is not None
        return explain(self._gateway.snapshot, method, url, [(name, value) for name, value in headers]).to_dict()

    async def state(self) -> dict[str, Any]:
        """Return what plugins show of themselves; one that fails shows its failure."""
        return {name: _shown(use) for name, use in self._uses().items()}

    async def act(self, use: str, action: str, arguments: Mapping[str, str]) -> bool:
        """Have a plugin do something, and return whether that lasts; raises ValueError for what cannot be done."""
        return self._act(use, action, arguments)

    def _do_again(self, acts: Sequence[Act]) -> None:
        for act in acts:
            with suppress(Exception):  # whoever keeps them asks for each once more, and is told
                self._act(*act)

    def _act(self, use: str, action: str, arguments: Mapping[str, str]) -> bool:
        uses = self._uses()
        if use not in uses:
            hint = did_you_mean(use, uses)
            raise ValueError(f"use: expected one that /api/state shows; got {use!r}{hint and f' ({hint})'}")
        return uses[use].act(action, arguments)

    def _uses(self) -> dict[str, Use]:
        from meshwright.traffic.uses import uses_of  # for people, who are rare

        return uses_of(self._gateway.snapshot) if self._gateway.snapshot is not None else {}

    async def stop(self, grace_s: float) -> None:
        """Drain and close; safe to call again while it runs, with less patience."""
        await self._listeners.close(grace_s)
        self._tell("meshwright_stopped")
        await self._gateway.close()
        await self._tasks.close()

    def give_up(self) -> None:
        """Log it; what runs in this process cannot be replaced."""
        logger.error("worker %s runs in this process and is not replaced; restart it unless it recovers", self.name)

    async def _prepare(self, reading: Reading, version: int) -> _Prepared:
        snapshot = await self._gateway.build(await reading.config(), version)
        try:
            listeners = self._listeners.prepare(snapshot.config.config.listeners, reading.document.base_dir)
            return _Prepared(snapshot, listeners)
        except BaseException as error:
            await self._gateway.discard(snapshot)
            if isinstance(error, ConfigError):
                raise config_error(map(snapshot.config.located, problems_in(error))) from error
            raise

    async def _drop(self, prepared: _Prepared) -> None:
        self._listeners.discard(prepared.listeners)
        await self._gateway.discard(prepared.snapshot)

    def _tell(self, hook: str) -> None:
        if self._gateway.snapshot is not None:
            self._gateway.snapshot.registry.tell(hook)


def _shown(use: Use) -> dict[str, Any]:
    try:
        return use.show()
    except Exception as error:
        logger.exception("%s: its state cannot be had", use.name)
        return {"kind": use.kind, "plugin": use.plugin.name, "actions": {}, "error": describe_failure(error)}
