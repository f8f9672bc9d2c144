from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from meshwright.config.problems import Problem
from meshwright.processes.control_channel import MAX_MESSAGE_BYTES, CallFailedError, ControlChannel, answer_calls
from meshwright_sdk import ConfigError, Tasks

Handle = Callable[[str, Mapping[str, Any]], Awaitable[Any]]


async def echo(call: str, arguments: Mapping[str, Any]) -> Any:
    return [call, dict(arguments)]


@asynccontextmanager
async def connected(handle: Handle) -> AsyncIterator[ControlChannel]:
    ours, theirs = socket.socketpair()
    tasks = Tasks()
    answering = tasks.spawn(answer_calls(theirs, handle), name="answering")
    channel = await ControlChannel.open(ours)
    try:
        yield channel
    finally:
        await channel.close()
        await asyncio.wait_for(answering, 5)


async def test_a_call_returns_what_the_other_end_answers() -> None:
    async with connected(echo) as channel:
        assert await channel.call("prepare", text="größe: \n1", version=3) == [
            "prepare",
            {"text": "größe: \n1", "version": 3},
        ]


async def test_a_slow_call_does_not_hold_up_another() -> None:
    release = asyncio.Event()

    async def handle(call: str, arguments: Mapping[str, Any]) -> Any:
        if call == "slow":
            await release.wait()
        return call

    async with connected(handle) as channel:
        slow = asyncio.gather(channel.call("slow"), channel.call("slow"))
        assert await channel.call("quick") == "quick"
        assert not slow.done()
        release.set()
        assert list(await slow) == ["slow", "slow"]


async def test_a_configuration_error_arrives_with_every_problem() -> None:
    known = Problem("gateway.yaml", 2, ("routes", 0, "to"), "a service", '"x"', "did you mean y?")

    async def handle(call: str, arguments: Mapping[str, Any]) -> Any:
        raise ConfigError([known, "gateway.yaml:9: two"])

    async with connected(handle) as channel:
        with pytest.raises(ConfigError) as caught:
            await channel.call("prepare")

    assert caught.value.problems == (known, "gateway.yaml:9: two")


async def test_another_failure_says_what_it_was_and_is_logged_where_it_happened(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handle(call: str, arguments: Mapping[str, Any]) -> Any:
        raise KeyError("orders")

    async with connected(handle) as channel:
        with pytest.raises(CallFailedError, match="KeyError: 'orders'"):
            await channel.call("status")

    assert "control call status failed" in caplog.text


async def test_an_answer_that_cannot_be_sent_is_a_failure_of_that_call_alone() -> None:
    async def handle(call: str, arguments: Mapping[str, Any]) -> Any:
        return "x" * MAX_MESSAGE_BYTES if call == "big" else object() if call == "odd" else "fine"

    async with connected(handle) as channel:
        for call in ("big", "odd"):
            with pytest.raises(CallFailedError, match="cannot be sent"):
                await channel.call(call)
        assert await channel.call("small") == "fine"


async def test_too_long_a_call_is_refused_before_it_is_sent() -> None:
    async with connected(echo) as channel:
        with pytest.raises(ValueError, match="at most 16777216 bytes"):
            await channel.call("prepare", text="x" * MAX_MESSAGE_BYTES)
        assert await channel.call("status") == ["status", {}]


async def test_an_answer_that_nobody_waits_for_any_more_harms_nobody() -> None:
    release = asyncio.Event()

    async def handle(call: str, arguments: Mapping[str, Any]) -> Any:
        if call == "hang":
            await release.wait()
        return call

    async with connected(handle) as channel:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await channel.call("hang")
        release.set()
        assert await channel.call("next") == "next"


async def test_a_call_that_cannot_be_sent_leaves_no_failure_behind() -> None:
    unseen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unseen.append(context))
    ours, theirs = socket.socketpair()
    channel = await ControlChannel.open(ours)
    tasks = Tasks()
    calls = [tasks.spawn(channel.call("prepare", text="x" * 2**22), name="call") for _ in range(3)]
    await asyncio.sleep(0)
    theirs.close()

    for call in calls:
        with pytest.raises(ConnectionError):
            await call
    calls.clear()
    gc.collect()
    await channel.close()
    assert unseen == []


async def test_calls_fail_at_once_when_the_other_end_goes_away() -> None:
    ours, theirs = socket.socketpair()
    channel = await ControlChannel.open(ours)
    waiting = asyncio.gather(channel.call("prepare"), return_exceptions=True)
    await asyncio.sleep(0)
    theirs.close()

    assert isinstance((await waiting)[0], ConnectionError)
    await asyncio.wait_for(channel.wait_closed(), 5)
    with pytest.raises(ConnectionError):
        await channel.call("status")
    await channel.close()


async def test_the_answering_end_stops_its_running_calls_when_the_asking_end_hangs_up() -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(call: str, arguments: Mapping[str, Any]) -> Any:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with connected(handle) as channel:
        waiting = asyncio.gather(channel.call("hang"), return_exceptions=True)
        await asyncio.wait_for(began.wait(), 5)

    await asyncio.wait_for(cancelled.wait(), 5)
    assert isinstance((await waiting)[0], ConnectionError)


@pytest.mark.parametrize("sent", [b"no json\n", b'{"id": 1, "call"', b"\xff\xfe\n"])
async def test_bytes_that_are_no_message_end_the_channel(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "meshwright.control")
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)

        await asyncio.wait_for(answer_calls(theirs, echo), 5)

        ours.settimeout(5)
        assert ours.recv(10) == b""
