"""The worker's process: a `LocalWorker` that does what the supervisor asks over the control channel."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from meshwright.processes.collector import collector
from meshwright.processes.control_channel import answer_calls
from meshwright.processes.deadline import EXIT_S, STOP_S, Deadline
from meshwright.processes.logs import configure_logging
from meshwright.processes.reading import Reading
from meshwright.processes.worker import LocalWorker
from meshwright.processes.worker_handle import WorkerHandle
from meshwright_sdk import ConfigDocument, Tasks

ORPHAN_GRACE_S = 30.0
"""How long running requests may take when nobody is left to say how long they may."""


class WorkerProcess:
    """Answers the supervisor's calls; ends when it is told to stop, by SIGTERM, or when the supervisor is gone.

    `ports` are filled in with what the supervisor says before each preparation; `deadline` is set by the drain.
    """

    def __init__(self, worker: WorkerHandle, ports: dict[str, int], deadline: Deadline) -> None:
        self._worker = worker
        self._deadline = deadline
        self._ports = ports
        self._tasks = Tasks()
        self._stopping: asyncio.Task[None] | None = None

    async def run(self, end: socket.socket) -> None:
        """Work until the end has come, then drain."""
        terminated = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
        answering = self._tasks.spawn(answer_calls(end, self.handle), name="control channel")
        waiting = self._tasks.spawn(terminated.wait(), name="signal")
        await asyncio.wait([answering, waiting], return_when=asyncio.FIRST_COMPLETED)
        await self._stop(ORPHAN_GRACE_S)
        await self._tasks.close()

    async def handle(self, call: str, arguments: Mapping[str, Any]) -> Any:
        """Do what a call asks."""
        if call == "prepare":
            return await self._prepare(**arguments)
        if call == "stop":
            return await self._stop(**arguments)
        if call == "explain":
            return await self._explain(**arguments)
        if call == "act":
            return await self._act(**arguments)
        if call in ("commit", "discard", "status", "metrics", "state"):
            return await getattr(self._worker, call)(**arguments)
        raise LookupError(f"there is no call {call}")

    async def _prepare(self, text: str, name: str, base_dir: str, version: int, ports: Mapping[str, int]) -> None:
        self._ports.clear()
        self._ports.update(ports)
        document = ConfigDocument(text=text, name=name, base_dir=Path(base_dir))
        await self._worker.prepare(Reading(document), version)

    async def _explain(self, **asked: Any) -> dict[str, Any]:
        try:
            return {"explanation": await self._worker.explain(**asked)}
        except ValueError as error:
            return {"refused": str(error)}

    async def _act(self, **asked: Any) -> dict[str, Any]:
        try:
            return {"lasts": await self._worker.act(**asked)}
        except ValueError as error:
            return {"refused": str(error)}

    async def _stop(self, grace_s: float) -> None:
        """Drain, whoever asked first; whoever asks later waits for the same end."""
        if self._stopping is None:
            self._deadline.set(grace_s + STOP_S)
            self._stopping = self._tasks.spawn(self._worker.stop(grace_s), name="drain")
        await asyncio.shield(self._stopping)


async def _work(name: str, end: socket.socket) -> None:
    ports: dict[str, int] = {}
    deadline = Deadline()
    await WorkerProcess(LocalWorker(name, ports), ports, deadline).run(end)
    deadline.set(EXIT_S, 0)  # the runner waits for tasks and threads that plugins left behind


def main(descriptor: int, name: str, log_level: str) -> None:
    """Run the worker `name` on an inherited socket."""
    configure_logging(log_level, worker=name)
    for number in (signal.SIGINT, signal.SIGHUP):  # they are the supervisor's
        signal.signal(number, signal.SIG_IGN)
    end = socket.socket(fileno=descriptor)
    collector.settle_in()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(name, end))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
