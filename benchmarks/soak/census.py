"""What a gateway holds at rest, and what of it is more than it was. Nothing here makes traffic."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from benchmarks.gateway import Gateway
from benchmarks.servers import memory_bytes

MIB = 1 << 20
MEMORY_SLACK_BYTES = 16 * MIB
"""An allocator keeps some of what was freed: less than this tells of no leak, and objects are counted beside it."""

OBJECTS_SLACK = 0.01

# Runs as a filter inside the gateway that is soaked, on a route of its own.
PLUGIN = """
import asyncio
import gc
from collections import Counter

from meshwright_sdk import Response, filter


@filter
async def census(request, call_next):
    gc.collect()
    kinds = Counter(type(each).__name__ for each in gc.get_objects())
    return Response.json({"tasks": len(asyncio.all_tasks()), "objects": sum(kinds.values()), "kinds": kinds})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What was counted; `kinds` are the objects of Python by the name of their class."""

    memory_bytes: int
    files: int
    connections: int
    in_flight: int
    upstream_active: int
    upstream_idle: int
    upstream_waiting: int
    tasks: int
    objects: int
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
        files=len(os.listdir(f"/proc/{gateway.pid}/fd")),
        connections=round(metrics["meshwright_connections_open"]),
        in_flight=round(metrics["meshwright_requests_in_flight"]) + sum(each["in_flight"] for each in endpoints),
        upstream_active=sum(pool["active"] for pool in pools),
        upstream_idle=sum(pool["idle"] for pool in pools),
        upstream_waiting=sum(pool["waiting"] + pool["opening"] for pool in pools),
        tasks=inside["tasks"],
        objects=inside["objects"],
        kinds=inside["kinds"],
    )


def leaks(before: Census, after: Census) -> list[str]:
    """Say in one sentence each what is left that was not there before."""
    found = []
    for name in ("connections", "in_flight", "upstream_active", "upstream_waiting", "files", "tasks"):
        then, now = getattr(before, name), getattr(after, name)
        if now > then:
            found.append(f"{name.replace('_', ' ')}: expected {then} at most, as before; got {now}")
    if after.objects > before.objects * (1 + OBJECTS_SLACK):
        found.append(
            f"objects: expected about {before.objects:,}; got {after.objects:,}, of which {_more(before, after)}"
        )
    grown = after.memory_bytes - before.memory_bytes
    if grown > MEMORY_SLACK_BYTES:
        found.append(
            f"memory: expected {MEMORY_SLACK_BYTES / MIB:.0f} MiB more at most; got {grown / MIB:.1f} MiB more"
        )
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
