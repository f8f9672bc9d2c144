from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from meshwright.processes.control_channel import CallFailedError, ControlChannel
from meshwright.processes.deadline import Deadline
from meshwright.processes.worker_main import ORPHAN_GRACE_S, WorkerProcess
from meshwright_sdk import Tasks
from tests.core.processes.fake_worker import FakeWorker


class Process:
    """A worker's process without the process: both ends of its channel in one loop."""

    def __init__(self, worker: FakeWorker, channel: ControlChannel, ended: asyncio.Task[None]) -> None:
        self.worker = worker
        self.channel = channel
        self.ended = ended
        self.ports: dict[str, int] = {}


@asynccontextmanager
async def running() -> AsyncIterator[Process]:
    ours, theirs = socket.socketpair()
    worker, tasks, ports = FakeWorker(), Tasks(), dict[str, int]()
    deadline = Deadline()
    ended = tasks.spawn(WorkerProcess(worker, ports, deadline).run(theirs), name="worker process")
    process = Process(worker, await ControlChannel.open(ours), ended)
    process.ports = ports
    try:
        yield process
    finally:
        worker.may_end.set()
        await process.channel.close()
        await asyncio.wait_for(ended, 5)
        deadline.close()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


async def prepare(process: Process, version: int = 1) -> None:
    await process.channel.call(
        "prepare", text="a: 1", name="gateway.yaml", base_dir="/etc", version=version, ports={"web": 41234}
    )


async def test_a_document_and_the_real_ports_arrive_as_they_were_sent() -> None:
    async with running() as process:
        await prepare(process)
        await process.channel.call("commit", version=1)

        (document,) = process.worker.documents
        assert (document.text, document.name, document.base_dir) == ("a: 1", "gateway.yaml", Path("/etc"))
        assert process.ports == {"web": 41234}
        assert (await process.channel.call("status"))["version"] == 1


async def test_an_explanation_and_its_refusal_are_told_apart() -> None:
    async with running() as process:
        asked = {"method": "GET", "url": "/", "headers": []}
        assert await process.channel.call("explain", **asked) == {"explanation": {"route": "orders"}}

        process.worker.failure["explain"] = ValueError("no request")
        assert await process.channel.call("explain", **asked) == {"refused": "no request"}


async def test_an_unknown_call_is_refused() -> None:
    async with running() as process:
        with pytest.raises(CallFailedError, match="there is no call give_up"):
            await process.channel.call("give_up")


async def test_it_drains_when_the_supervisor_is_gone() -> None:
    async with running() as process:
        await process.channel.close()
        await asyncio.wait_for(process.ended, 5)

        assert process.worker.stopped_with == [ORPHAN_GRACE_S]


async def test_whoever_asks_it_to_stop_while_it_drains_waits_for_the_same_end() -> None:
    async with running() as process:
        process.worker.may_end.clear()
        os.kill(os.getpid(), signal.SIGTERM)
        while not process.worker.stopped_with:
            await process.channel.call("status")

        stopping = asyncio.gather(process.channel.call("stop", grace_s=1.0))
        await process.channel.call("status")
        await process.channel.call("status")
        assert not stopping.done()
        process.worker.may_end.set()
        await asyncio.wait_for(asyncio.gather(stopping, return_exceptions=True), 5)

        assert process.worker.stopped_with == [ORPHAN_GRACE_S]
