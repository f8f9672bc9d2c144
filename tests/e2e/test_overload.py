"""A gateway that gets more than it can do: the low priority is refused, the high one hardly ever.

That it loses nothing at all is checked on a simulated core: a real one has pauses that others make.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing
from pathlib import Path

from meshwright_sdk.tasks import Tasks
from tests.core.http1.wire import connect
from tests.e2e.gateway_process import GatewayFile, eventually, running_gateway

YAML = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
admin: {bind: "127.0.0.1:0"}
plugins: [./work.py]
filters:
  - priority: {key: "header:x-level", trusted_clients: ["127.0.0.0/8"]}
  - overload: {hold: 200ms}
  - work
routes:
  - {name: all, filters: [{respond: {text: done}}]}
"""
WORK = """\
from time import perf_counter

from meshwright_sdk import filter


@filter
async def work(request, call_next):
    end = perf_counter() + 0.002
    while perf_counter() < end:
        pass
    return await call_next(request)
"""


async def test_the_low_priority_is_refused_in_place_of_the_high_one(tmp_path: Path) -> None:
    file = GatewayFile(tmp_path / "gateway.yaml", YAML)
    file.beside("work.py", WORK)
    async with running_gateway(file) as gateway:
        port = int(gateway.url.rpartition(":")[2])
        counts: dict[str, Counter[bytes]] = {"low": Counter(), "high": Counter()}
        tasks = Tasks()

        async def client(level: str, pause_s: float) -> None:
            """Send one request after the other on one connection."""
            with closing(await connect(port)) as wire:
                while True:
                    await wire.send(f"GET / HTTP/1.1\r\nhost: a\r\nx-level: {level}\r\n\r\n".encode())
                    counts[level][(await wire.message()).body] += 1
                    await asyncio.sleep(pause_s)

        for _ in range(150):
            tasks.spawn(client("low", 0), name="low")
        for _ in range(10):
            tasks.spawn(client("high", 0.2), name="high")

        async def sheds() -> bool:
            return counts["low"].total() - counts["low"][b"done"] > 50 and counts["high"].total() >= 20

        await eventually(sheds, within_s=30)

        assert counts["high"][b"done"] > 0.9 * counts["high"].total()
        refusals = [body for body in counts["low"] if body != b"done"]
        assert len(refusals) == 1
        assert b'"code":"overloaded"' in refusals[0]
        assert counts["low"][b"done"] > 10
        await tasks.close()

        metrics = (await gateway.get("/metrics")).text
        assert 'meshwright_overload_refused_total{priority="2",route="",service=""}' in metrics

        async def passes() -> bool:
            counts["low"].clear()
            alone = Tasks()
            alone.spawn(client("low", 0.05), name="alone")
            await asyncio.sleep(0.5)
            await alone.close()
            return set(counts["low"]) == {b"done"}

        await eventually(passes)
