"""`RemoteWorker`: a worker in a process of its own, as the control side sees it; when one is started goes elsewhere."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from typing import Any, Self

from meshwright.processes.control_channel import ControlChannel
from meshwright.processes.deadline import OVERDUE, STOP_S
from meshwright.processes.exposition import FamilyDump
from meshwright.processes.reading import Reading
from meshwright.processes.worker_handle import Act

logger = logging.getLogger("meshwright.supervisor")

EXIT_S = 5.0
"""How long a worker may take to exit once it has nothing left to do."""


class RemoteWorker:
    """A fresh interpreter that runs `worker_main` at the other end of a socket pair; a `WorkerHandle`."""

    def __init__(self, name: str, process: Process, channel: ControlChannel, ports: Mapping[str, int]) -> None:
        self.name = name
        self.pid = process.pid
        self.preparing = 0
        self._process = process
        self._channel = channel
        self._ports = ports

    @classmethod
    async def start(cls, name: str, ports: Mapping[str, int]) -> Self:
        """Start the process; `ports` is looked at whenever a version is prepared.

        It gets a session of its own, so that Ctrl-C on the terminal reaches the supervisor alone.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            level = logging.getLevelName(logging.getLogger().level)
            command = [
                sys.executable,
                "-P",
                "-m",
                "meshwright.processes.worker_main",
                str(theirs.fileno()),
                name,
                level,
            ]
            process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )
        return cls(name, process, await ControlChannel.open(ours), ports)

    async def prepare(self, reading: Reading, version: int) -> None:
        """Have it read the document and build everything for `version`."""
        document = reading.document
        self.preparing += 1
        try:
            await self._channel.call(
                "prepare",
                text=document.text,
                name=document.name,
                base_dir=str(document.base_dir),
                version=version,
                ports=dict(self._ports),
            )
        finally:
            self.preparing -= 1

    async def commit(self, version: int, acts: Sequence[Act] = ()) -> None:
        """Have it serve `version`."""
        done = [(use, action, dict(arguments)) for use, action, arguments in acts]
        await self._channel.call("commit", version=version, acts=done)

    async def discard(self, version: int) -> None:
        """Have it drop `version`."""
        await self._channel.call("discard", version=version)

    async def status(self) -> dict[str, Any]:
        """Ask for its status."""
        status: dict[str, Any] = await self._channel.call("status")
        return status

    async def metrics(self) -> Sequence[FamilyDump]:
        """Ask for everything it counted."""
        metrics: Sequence[FamilyDump] = await self._channel.call("metrics")
        return metrics

    async def explain(self, method: str, url: str, headers: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Ask what would become of a request."""
        answer = await self._channel.call("explain", method=method, url=url, headers=headers)
        if "refused" in answer:
            raise ValueError(answer["refused"])
        explanation: dict[str, Any] = answer["explanation"]
        return explanation

    async def state(self) -> dict[str, Any]:
        """Ask what its plugins show."""
        state: dict[str, Any] = await self._channel.call("state")
        return state

    async def act(self, use: str, action: str, arguments: Mapping[str, str]) -> bool:
        """Have one of its plugins do something."""
        answer = await self._channel.call("act", use=use, action=action, arguments=dict(arguments))
        if "refused" in answer:
            raise ValueError(answer["refused"])
        return bool(answer["lasts"])

    async def stop(self, grace_s: float) -> None:
        """Have it drain and exit; kill it when it has not done so in time, and raise TimeoutError then."""
        try:
            async with asyncio.timeout(grace_s + STOP_S + EXIT_S):
                await self._channel.call("stop", grace_s=grace_s)
        except TimeoutError:
            self.give_up()
        except ConnectionError:
            logger.debug("worker %s (process %d) has ended by itself", self.name, self.pid)
        await self._channel.close()
        await self.wait()
        if self._process.returncode in (OVERDUE, -signal.SIGKILL):
            raise TimeoutError(f"worker {self.name} (process {self.pid}) had to be ended")

    async def wait(self) -> str:
        """Return how the process ended, once it has; one that hung up and does not end is killed."""
        await self._channel.wait_closed()
        try:
            async with asyncio.timeout(EXIT_S):
                await self._process.wait()
        except TimeoutError:
            self.give_up()
            await self._process.wait()
        await self._channel.close()
        return _ending(self._process.returncode)

    def give_up(self) -> None:
        """Kill the process."""
        if self._process.returncode is None:
            self._process.kill()


def _ending(returncode: int | None) -> str:
    if returncode is None or returncode >= 0:
        return f"exited with {returncode}"
    return f"was ended by {signal.Signals(-returncode).name}"
