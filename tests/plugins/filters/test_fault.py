from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from meshwright_plugins.filters.fault import Fault
from meshwright_sdk import AbortError, Body, ResetError, Response, Tasks
from meshwright_sdk.testing import FakeUpstream, ManualClock, build, gateway, make_request
from meshwright_sdk.testing.checks import check_filter
from tests.core.http1.wire import connect

YAML = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
admin: {bind: "127.0.0.1:0"}
routes:
  - {name: client, match: {path: "/client"}, filters: [{fault: {abort: {connection: client}}}, {respond: {text: ok}}]}
  - {name: service, match: {path: "/service"}, filters: [{fault: {abort: {connection: service}}}]}
  - {name: status, match: {path: "/status"}, filters: [{fault: {abort: {status: 503}}}]}
  - {name: cut, match: {path: "/cut"}, filters: [{fault: {body: {cut_after: 4B}}}, {respond: {text: whole}}]}
  - {name: fine, match: {path: "/fine"}, filters: [{respond: {text: fine}}]}
"""


@pytest.mark.parametrize(
    "options",
    [
        {"delay": {"time": "1ms"}},
        {"abort": {"status": 503, "share": "50%"}},
        {"abort": {"connection": "client"}},
        {"body": {"rate": "1MiB"}},
    ],
)
async def test_it_holds_to_the_contract_of_filters(options: dict[str, Any]) -> None:
    await check_filter(build(Fault, **options))


async def test_a_delayed_request_goes_on_after_its_time() -> None:
    clock, upstream, tasks = ManualClock(), FakeUpstream(), Tasks()
    fault = build(Fault, clock=clock, delay={"time": "2s"})

    async def call() -> Response:
        return await fault(make_request(), upstream)

    task = tasks.spawn(call(), name="request")
    await clock.advance(1.9)
    assert (upstream.requests, fault.state()["delayed_now"]) == ([], 1)
    await clock.advance(0.2)

    assert task.result().status == 200
    assert fault.state() == {"active": True, "delayed_now": 0, "injected": {"delay": 1, "abort": 0, "body": 0}}


async def test_a_delay_is_somewhere_in_its_range() -> None:
    clock, tasks = ManualClock(), Tasks()
    fault = build(Fault, clock=clock, delay={"time": "1s", "up_to": "3s"}, max_delayed=1000)

    async def call() -> None:
        await fault(make_request(), FakeUpstream())

    for _ in range(200):
        tasks.spawn(call(), name="request")
    await clock.advance(0.99)
    assert len(tasks) == 200
    await clock.advance(1)
    assert 60 < len(tasks) < 140
    await clock.advance(1.02)
    assert len(tasks) == 0


async def test_more_than_the_most_are_not_delayed() -> None:
    clock, tasks = ManualClock(), Tasks()
    fault = build(Fault, clock=clock, delay={"time": "1h"}, max_delayed=2)

    async def call() -> None:
        await fault(make_request(), FakeUpstream())

    for _ in range(5):
        tasks.spawn(call(), name="request")
    await clock.advance(0)
    assert len(tasks) == 2

    await tasks.close()
    assert fault.state()["delayed_now"] == 0


async def test_an_aborted_request_never_reaches_the_upstream() -> None:
    upstream = FakeUpstream()

    response = await build(Fault, abort={"status": 429})(make_request(), upstream)

    assert response.status == 429
    assert json.loads(response.body.data or b"")["code"] == "fault_injected"
    assert upstream.requests == []


@pytest.mark.parametrize(("connection", "error"), [("service", ResetError), ("client", AbortError)])
async def test_an_abort_may_break_a_connection_off(connection: str, error: type[Exception]) -> None:
    upstream = FakeUpstream()

    with pytest.raises(error):
        await build(Fault, abort={"connection": connection})(make_request(), upstream)

    assert upstream.requests == []


async def test_a_share_is_hit_and_the_same_seed_hits_the_same() -> None:
    async def statuses() -> list[int]:
        fault, upstream = build(Fault, random=Random(7), abort={"status": 500, "share": "20%"}), FakeUpstream()
        return [(await fault(make_request(), upstream)).status for _ in range(1_000)]

    first = await statuses()

    assert 150 < first.count(500) < 250
    assert await statuses() == first


async def test_with_a_header_only_requests_that_have_it_are_disturbed() -> None:
    fault, upstream = build(Fault, abort={"status": 500}, header="x-fault"), FakeUpstream()

    assert (await fault(make_request(), upstream)).status == 200
    assert (await fault(make_request(headers={"x-fault": "yes"}), upstream)).status == 500


async def test_the_header_does_not_reach_the_upstream() -> None:
    fault, upstream = build(Fault, abort={"status": 500, "share": "0%"}, header="x-fault"), FakeUpstream()

    await fault(make_request(headers={"x-fault": "yes"}), upstream)

    assert "x-fault" not in upstream.requests[0].headers


async def test_it_is_switched_on_and_off() -> None:
    fault, upstream = build(Fault, abort={"status": 500}, active=False), FakeUpstream()
    assert (await fault(make_request(), upstream)).status == 200

    fault.act("on", {})
    assert (await fault(make_request(), upstream)).status == 500

    fault.act("off", {})
    assert (await fault(make_request(), upstream)).status == 200


@pytest.mark.parametrize(("action", "arguments"), [("on", {"for": "1h"}), ("up", {})])
def test_what_it_cannot_do_is_refused(action: str, arguments: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="expected"):
        build(Fault, abort={"status": 500}).act(action, arguments)


async def chunks() -> AsyncIterator[bytes]:
    for chunk in (b"abc", b"def", b"ghi"):
        yield chunk


async def read(response: Response) -> bytes:
    """Return what comes until it breaks off."""
    content = b""
    try:
        async for chunk in response.body:
            content += chunk
    except ResetError:
        content += b"|"
    await response.aclose()
    return content


@pytest.mark.parametrize(
    ("after", "content"), [("0B", b"|"), ("4B", b"abcd|"), ("6B", b"abcdef|"), ("9B", b"abcdefghi")]
)
async def test_a_body_is_cut_off_after_so_many_bytes(after: str, content: bytes) -> None:
    upstream = FakeUpstream(Response(200, body=Body.stream(chunks(), length=9)))

    response = await build(Fault, body={"cut_after": after})(make_request(), upstream)

    assert response.headers["content-length"] == "9"
    assert await read(response) == content


async def test_a_body_leaves_at_its_rate() -> None:
    clock, tasks = ManualClock(), Tasks()
    fault = build(Fault, clock=clock, body={"rate": "100B"})
    response = await fault(make_request(), FakeUpstream(Response(200, body=bytes(1_000))))

    task = tasks.spawn(read(response), name="reader")
    await clock.advance(9.5)
    assert not task.done()
    await clock.advance(1)

    assert task.result() == bytes(1_000)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"abort": {}},
        {"abort": {"status": 500, "connection": "client"}},
        {"abort": {"status": 200}},
        {"delay": {"time": "2s", "up_to": "1s"}},
        {"body": {}},
        {"body": {"rate": "0B"}},
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(Fault, **options)


async def test_over_sockets_connections_break_off_and_others_do_not(tmp_path: Path) -> None:
    async with gateway(YAML, base_dir=tmp_path) as running, httpx.AsyncClient(base_url=running.url) as client:
        for path in ("/client", "/cut"):
            with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
                await client.get(path)
        wire = await connect(int(running.url.rpartition(":")[2]))
        await wire.send(b"GET /client HTTP/1.1\r\nhost: a\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await wire.rest()
        wire.close()

        service, status = await client.get("/service"), await client.get("/status")
        assert (service.status_code, service.json()["code"]) == (502, "fault_injected")
        assert (status.status_code, status.json()["code"]) == (503, "fault_injected")
        assert (await client.get("/fine")).text == "fine"
