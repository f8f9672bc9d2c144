"""What a gateway holds at rest, and what of it is more than it was. Nothing here makes traffic."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from benchmarks.gateway import Gateway
from benchmarks.servers import memory_bytes

MIB = 1 << 20
MEMORY_SLACK_BYTES = 8 * MIB
"""What was freed cannot all be given back: less than this tells of no leak, and blocks are counted beside it."""

HEAP_SLACK_BYTES = 4 * MIB
"""What malloc has given out holds no free memory: it may grow by tables that grow, but not by much."""

COUNT_SLACK = 0.01
FILE_LOOKS, FILE_LOOK_S = 5, 0.1

# Runs as a filter inside the gateway that is soaked, on a route of its own. `blocks` are all that Python has allocated
# and not freed, objects that the collector does not track too; `heap` is what malloc has given out, to C as well.
PLUGIN = """
import asyncio
import ctypes
import gc
import sys
from collections import Counter

from meshwright_sdk import Response, filter


class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks used".split()]
    _fields_ += [("fordblks", ctypes.c_size_t), ("keepcost", ctypes.c_size_t)]


try:
    libc = ctypes.CDLL(None)
    mallinfo2, malloc_trim = libc.mallinfo2, libc.malloc_trim
    mallinfo2.restype = Mallinfo2
except AttributeError:  # another C library than glibc, or an old one
    mallinfo2, malloc_trim = Mallinfo2, int


@filter
async def census(request, call_next):
    gc.unfreeze()  # the gateway freezes what a reload made, and with it what then waited to be collected
    gc.collect()
    malloc_trim(0)
    heap = mallinfo2()
    kinds = Counter(type(each).__name__ for each in gc.get_objects())
    return Response.json(
        {
            "tasks": sorted(f"{task.get_name()} ({task.get_coro().__qualname__})" for task in asyncio.all_tasks()),
            "objects": sum(kinds.values()),
            "blocks": sys.getallocatedblocks(),
            "heap_bytes": heap.used + heap.hblkhd,
            "kinds": kinds,
        }
    )
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What was counted; `tasks` by name and function, `kinds` are the objects of Python by the name of their class."""

    memory_bytes: int
    files: int
    connections: int
    in_flight: int
    upstream_active: int
    upstream_idle: int
    upstream_waiting: int
    tasks: list[str]
    objects: int
    blocks: int
    heap_bytes: int
    kinds: dict[str, int]

    @property
    def rests(self) -> bool:
        """Tell whether nothing runs, and no connection of either side is kept."""
        return not (self.connections or self.in_flight or self.upstream_active or self.upstream_idle)


def take_census(gateway: Gateway) -> Census:
    """Count; the request that counts tasks and objects is one of the tasks, and over before the rest is counted."""
    inside = _inside(gateway.port)
    metrics = gateway.metrics()
    endpoints = [endpoint for service in gateway.services() for endpoint in service["endpoints"]]
    pools = [endpoint["pool"] for endpoint in endpoints]
    return Census(
        memory_bytes=memory_bytes(gateway.pid),
        files=open_files(gateway.pid),
        connections=round(metrics["meshwright_connections_open"]),
        in_flight=round(metrics["meshwright_requests_in_flight"]) + sum(each["in_flight"] for each in endpoints),
        upstream_active=sum(pool["active"] for pool in pools),
        upstream_idle=sum(pool["idle"] for pool in pools),
        upstream_waiting=sum(pool["waiting"] + pool["opening"] for pool in pools),
        **inside,
    )


def open_files(pid: int) -> int:
    """Open file descriptors; connections to the admin API, which have just been closed here, are given time to go."""
    seen = []
    for _ in range(FILE_LOOKS):
        time.sleep(FILE_LOOK_S)
        seen.append(len(os.listdir(f"/proc/{pid}/fd")))
    return min(seen)


def leaks(before: Census, after: Census) -> list[str]:
    """Say in one sentence each what is left that was not there before."""
    found = []
    if len(after.tasks) > len(before.tasks):
        found.append(f"tasks: expected {len(before.tasks)} at most, as before; got {', '.join(after.tasks)}")
    for name in ("connections", "in_flight", "upstream_active", "upstream_waiting", "files"):
        then, now = getattr(before, name), getattr(after, name)
        if now > then:
            found.append(f"{name.replace('_', ' ')}: expected {then} at most, as before; got {now}")
    for name in ("objects", "blocks"):
        then, now = getattr(before, name), getattr(after, name)
        if now > then * (1 + COUNT_SLACK):
            found.append(f"{name}: expected about {then:,}; got {now:,}; of objects {_more(before, after)}")
    for name, slack in (("heap_bytes", HEAP_SLACK_BYTES), ("memory_bytes", MEMORY_SLACK_BYTES)):
        more = (getattr(after, name) - getattr(before, name)) / MIB
        if more > slack / MIB:
            what = name.removesuffix("_bytes")
            found.append(f"{what}: expected {slack / MIB:.0f} MiB more at most; got {more:.1f} MiB more")
    return found


def _more(before: Census, after: Census) -> str:
    more = {kind: number - before.kinds.get(kind, 0) for kind, number in after.kinds.items()}
    worst = sorted(more, key=lambda kind: more[kind], reverse=True)[:6]
    return ", ".join(f"{more[kind]:+,} {kind}" for kind in worst)


def _inside(port: int) -> dict[str, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/census", headers={"connection": "close"})
        counted: dict[str, Any] = json.loads(connection.getresponse().read())
        return counted
    finally:
        connection.close()
