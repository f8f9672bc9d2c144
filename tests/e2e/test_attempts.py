"""`timeout`, `retry`, `hedge` and `outlier` together, as a route would have them, over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from meshwright_sdk.testing import gateway
from tests.core.http1.wire import Message, Wire, connect, scripted_upstream
from tests.ports import free_port

YAML = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
routes:
  - name: all
    match: {path: "/*"}
    filters: [FILTERS]
    to: back
services:
  back:
    endpoints: [ENDPOINTS]
    filters: [SERVICE]
    policies: [POLICIES]
"""


def config(endpoints: list[str], *, filters: str, service: str = "", policies: str = "") -> str:
    text = YAML.replace("FILTERS", filters).replace("SERVICE", service).replace("POLICIES", policies)
    return text.replace("ENDPOINTS", ", ".join(f'"{url}"' for url in endpoints))


async def load(url: str, *, clients: int, times: int) -> tuple[Counter[int], list[float]]:
    """Send requests over so many connections at once; return the statuses and how long each answer took."""
    statuses: Counter[int] = Counter()
    times_s: list[float] = []

    async def client() -> None:
        wire = await connect(int(url.rpartition(":")[2]))
        for _ in range(times):
            began = time.monotonic()
            await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            statuses[(await wire.message()).status] += 1
            times_s.append(time.monotonic() - began)
        wire.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return statuses, times_s


async def answer(wire: Wire) -> None:
    while True:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


async def hang(wire: Wire) -> None:
    await wire.message()
    await wire.rest()


async def test_a_dead_endpoint_is_ejected_before_the_default_budget_is_spent() -> None:
    async with scripted_upstream(answer) as one, scripted_upstream(answer) as two:
        endpoints = [one.url, f"http://127.0.0.1:{free_port()}", two.url]
        text = config(endpoints, filters="retry", policies="outlier: {consecutive_failures: 5}")
        async with gateway(text) as running:
            statuses, _ = await load(running.url, clients=32, times=64)

    assert statuses == {200: 2048}


async def test_a_hung_endpoint_costs_no_request_with_a_time_for_each_attempt() -> None:
    async with scripted_upstream(answer) as good, scripted_upstream(hang) as hung:
        text = config(
            [good.url, hung.url],
            filters="timeout: {after: 20s}, retry: {on: timeout, budget: 100%}",
            service="timeout: {after: 100ms}",
            policies="outlier: {consecutive_failures: 5}",
        )
        async with gateway(text) as running:
            statuses, _ = await load(running.url, clients=8, times=50)
            ejected: Any = running.gateway.snapshot.services["back"].status()  # type: ignore[attr-defined]

    assert statuses == {200: 400}
    # Time that an attempt let go by is its endpoint's fault, so that it is taken out as one that refuses connections.
    assert {each["url"]: bool(each["ejections"]) for each in ejected["endpoints"]}[hung.url]


async def test_a_hedge_inside_a_retry_hides_both_a_hung_and_a_dead_endpoint() -> None:
    async with scripted_upstream(answer) as good, scripted_upstream(hang) as hung:
        text = config(
            [good.url, hung.url, f"http://127.0.0.1:{free_port()}"],
            filters="timeout: {after: 20s}, retry: {attempts: 4, budget: {minimum: 500}}, "
            "hedge: {after: 50ms, attempts: 3}",
        )
        async with gateway(text) as running:
            statuses, times_s = await load(running.url, clients=4, times=30)

    assert statuses == {200: 120}
    assert max(times_s) < 10


@pytest.mark.parametrize("attempts", [2, 5])
async def test_the_whole_time_ends_all_attempts(attempts: int) -> None:
    seen: list[Message] = []

    async def note(wire: Wire) -> None:
        seen.append(await wire.message())
        await wire.rest()

    async with scripted_upstream(note) as upstream:
        text = config(
            [upstream.url],
            filters=f"timeout: {{after: 725ms}}, retry: {{on: timeout, attempts: {attempts}, backoff: 0s}}",
            service="timeout: {after: 250ms}",
        )
        async with gateway(text) as running:
            statuses, (took_s,) = await load(running.url, clients=1, times=1)

    assert statuses == {504: 1}
    told = [int(message.headers["x-request-deadline"]) for message in seen]
    assert [message.headers["x-request-attempt"] for message in seen] == ["1", "2", "3"][: len(seen)]
    assert 2 <= len(seen) <= min(attempts, 3)  # a busy machine may take the time of the third
    assert told == sorted(told)
    assert told[-1] - told[0] <= 480  # no attempt is told more than is left of the whole
    if attempts == 5:
        assert took_s >= 0.725
