"""What an upstream sends is as strictly read: one answer, or none, and never the next request's."""

from __future__ import annotations

import asyncio

import pytest

from tests.core.http1.corpus.responses import RESPONSES, Answer
from tests.core.http1.harness import Rig, gateway_to
from tests.core.http1.wire import Message, Wire, until

SECOND = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond"


class Upstream:
    """A script: the answer to the first request, and `second` to any other, on whatever connection."""

    def __init__(self, answer: Answer, *, bytewise: bool) -> None:
        self.connections = 0
        self._answer = answer
        self._bytewise = bytewise

    async def __call__(self, wire: Wire) -> None:
        self.connections += 1
        if self.connections == 1:
            await wire.message()
            await Wire(wire.reader, wire.writer, bytewise=self._bytewise).send(self._answer.sent)
            if self._answer.ends:
                return
        while True:
            await wire.message()
            await wire.send(SECOND)


async def first(rig: Rig, answer: Answer) -> Message | None:
    """Return the answer to the first request; None when it broke off."""
    wire = await rig.client()
    await wire.send(answer.method, b" / HTTP/1.1\r\nhost: a\r\n\r\n")
    try:
        message = await wire.message(bodiless=answer.method == b"HEAD")
        while message.status < 200:
            message = await wire.message(bodiless=answer.method == b"HEAD")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    wire.close()
    assert await wire.ended()
    return message


def failed(message: Message | None) -> bool:
    return message is None or message.status == 502


@pytest.mark.asyncio(loop_factories=["asyncio"])  # how bytes are read does not depend on the loop
@pytest.mark.parametrize("name", RESPONSES)
async def test_an_answer_is_read_in_one_way_or_fails_and_no_other_request_gets_it(name: str) -> None:
    answer = RESPONSES[name]
    for bytewise in (False, True):
        upstream = Upstream(answer, bytewise=bytewise)
        async with gateway_to(upstream) as rig:
            got = await first(rig, answer)
            if answer.fails or (answer.free and failed(got)):
                assert failed(got), got
            else:
                assert got is not None
                assert (got.status, got.body) == (answer.status, answer.body)
            await rig.settled()
            kept = answer.kept if not failed(got) else False
            if kept is False:
                await until(lambda: not rig.endpoint.pool.open)
            second = await rig.ask(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (second.status, second.body) == (200, b"second")
            assert kept is None or upstream.connections == (1 if kept else 2)
