"""`run`: the whole program from start to drain — signals, configuration, workers, admin API; no traffic."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvloop

from meshwright.admin.server import Admin
from meshwright.plugin_host.registry import Registry
from meshwright.processes.collector import collector
from meshwright.processes.control import Control
from meshwright.processes.crew import CREW_STOP_S, Crew, LocalCrew, ProcessCrew
from meshwright.processes.deadline import EXIT_S, OVERDUE, Deadline
from meshwright.processes.descriptors import raise_limit
from meshwright.processes.fleet import Fleet
from meshwright.processes.ports import Ports
from meshwright.processes.reading import check
from meshwright.processes.stop_signals import AT_ONCE, StopSignals
from meshwright_sdk import Context, Tasks
from meshwright_sdk.sources import AnyConfigSource

logger = logging.getLogger("meshwright.supervisor")


def run(file: Path, *, workers: int, grace_s: float) -> int:
    """Serve `file` until SIGTERM or SIGINT and return the exit code; a second one of them ends it at once.

    From the signal on the process ends in bounded time, here if need be. Raises ConfigError, or OSError for a
    file that cannot be read, when it cannot start.
    """
    raise_limit()
    collector.settle_in()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(file, workers, grace_s))


async def _serve(file: Path, workers: int, grace_s: float) -> int:
    deadline = Deadline()
    code = await Supervisor(file_source(file), workers, deadline).serve(grace_s)
    deadline.set(EXIT_S, code)  # the runner waits for tasks and threads that plugins left behind
    return code


def file_source(file: Path) -> AnyConfigSource:
    """Return the configuration source that reads `file` and watches it."""
    registry = Registry.built_in()
    model = registry.options_of("config_source", "file")
    assert model is not None
    options = model.model_validate({"path": str(file)})
    source: AnyConfigSource = registry.build("config_source", "file", options, Context(place="config_source"))
    return source


class Supervisor:
    """Everything of one run, in the order in which it starts; it ends in the reverse order."""

    def __init__(self, source: AnyConfigSource, workers: int, deadline: Deadline) -> None:
        self._source = source
        self._signals = StopSignals(deadline)
        self._control = Control(source, check, Fleet())
        self._ports = Ports(workers=workers)
        self._admin = Admin(self._control)
        self._control.parts = [self._ports, self._admin]
        self._crew: Crew = self._make_crew(workers)
        self._tasks = Tasks()
        self._reload = asyncio.Event()

    async def serve(self, grace_s: float) -> int:
        """Start, serve, drain; return the exit code."""
        self._signals.listen(grace_s + CREW_STOP_S)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload.set)
        try:
            if not await _unless(self._signals.stop, self._start()):
                return 0
            await self._signals.stop.wait()
            self._control.draining = True
            await self._tasks.close()
            logger.info("draining: no new connections, %g s for running requests", grace_s)
            return await self._drain(grace_s)
        finally:
            await self._close()

    async def _drain(self, grace_s: float) -> int:
        try:
            return 0 if await _unless(self._signals.at_once, self._crew.stop(grace_s)) else AT_ONCE
        except TimeoutError:
            return OVERDUE

    async def _start(self) -> None:
        await self._source.start()
        await self._control.start()
        await self._crew.start()
        self._admin.open()
        self._tasks.spawn(self._control.follow(), name="configuration watch")
        self._tasks.spawn(self._reload_when_asked(), name="reload on SIGHUP")
        sys.stdout.write(f"{await self._ready_line()}\n")
        sys.stdout.flush()

    async def _close(self) -> None:
        await self._tasks.close()
        await self._crew.close()
        await self._admin.close()
        self._ports.close()
        await self._source.close()

    def _make_crew(self, workers: int) -> Crew:
        if workers == 1:
            return LocalCrew(self._control, self._ports)
        return ProcessCrew(self._control, self._ports, workers)

    async def _reload_when_asked(self) -> None:
        """Reload after SIGHUP; several that come during one reload are one."""
        while True:
            await self._reload.wait()
            self._reload.clear()
            await self._control.reload("SIGHUP")

    async def _ready_line(self) -> str:
        applied = self._control.applied
        assert applied is not None
        order = [listener.name for listener in applied.config.loaded.config.listeners]
        statuses = await self._control.fleet.statuses()
        known: list[dict[str, str]] = next((each["listeners"] for each in statuses if "listeners" in each), [])
        bound = sorted(known, key=lambda each: order.index(each["name"]))
        listeners = ", ".join(f"{_url(each['scheme'], each['bind'])} ({each['name']})" for each in bound)
        workers = "1 worker" if len(statuses) == 1 else f"{len(statuses)} workers"
        return (
            f"meshwright {version('meshwright')}: listening on {listeners}, "
            f"admin {_url('http', self._admin.address)}, {workers}, version {applied.version}"
        )


def _url(scheme: str, bind: str) -> str:
    return bind if bind.startswith("unix:") else f"{scheme}://{bind}"


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do `work` and return True, or cancel it when `event` comes first and return False; raises what `work` does."""
    loop = asyncio.get_running_loop()
    working = loop.create_task(work, name="work")
    waiting = loop.create_task(event.wait(), name="event")
    try:
        await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
        finished = working.done()
    finally:
        waiting.cancel()
        working.cancel()
        await asyncio.wait([working, waiting])
    if finished:
        working.result()
    return finished
