"""What RFC 9112 calls ambiguous is refused, and then nothing more of its connection reaches the upstream."""

from __future__ import annotations

import asyncio

import pytest

from tests.core.http1.corpus.case import CANARY, CANARY_SEEN, Case, Seen
from tests.core.http1.corpus.recorder import Recorder
from tests.core.http1.corpus.requests import REQUESTS
from tests.core.http1.harness import Rig, gateway_to
from tests.core.http1.wire import Message, Wire, until

MANY_BYTES = 2000
"""Longer cases are not sent byte by byte."""


async def answers(wire: Wire, methods: list[str]) -> list[Message]:
    """Return the answers up to the end of the connection, to requests of these methods."""
    got: list[Message] = []
    try:
        while True:
            method = methods[len(got)] if len(got) < len(methods) else "GET"
            answer = await wire.message(bodiless=method == "HEAD")
            if answer.status >= 200:
                got.append(answer)
            if answer.headers.get("connection") == "close":
                break
            if len(got) == len(methods):
                wire.close()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    return got


async def outcome(rig: Rig, case: Case) -> list[Message]:
    """Send the case and the canary on a connection of its own; return the answers once it is closed."""
    wire = await rig.client()
    sending = asyncio.gather(wire.send(case.sent, CANARY), return_exceptions=True)
    expected = case.seen if case.last else (*case.seen, CANARY_SEEN)
    got = await answers(wire, [request.method for request in expected])
    await sending
    wire.close()
    await wire.ended()
    await until(lambda: not rig.server.connections)
    await rig.settled()
    return got


def matches(seen: list[Seen], expected: tuple[Seen, ...]) -> bool:
    return len(seen) == len(expected) and all(want.matches(got) for want, got in zip(expected, seen, strict=True))


@pytest.mark.asyncio(loop_factories=["asyncio"])  # how bytes are read does not depend on the loop
@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_is_read_in_one_way_or_refused_and_nothing_follows_it(name: str) -> None:
    case = REQUESTS[name]
    outcomes: list[list[int]] = []
    for bytewise in (False, True) if len(case.sent) < MANY_BYTES else (False,):
        recorder = Recorder()
        async with gateway_to(recorder, bytewise=bytewise) as rig:
            got = await outcome(rig, case)
        statuses = [answer.status for answer in got]
        outcomes.append(statuses)
        refused = bool(case.refused) and not (case.free and statuses[:1] == [200])
        if refused:
            before = () if case.free else case.seen
            assert statuses[:-1] == [200] * len(before), statuses
            assert statuses[-1] in case.refused
            assert got[-1].headers["connection"] == "close"
            assert got[-1].headers["content-type"] == "application/problem+json"
            assert matches(recorder.requests, before), recorder.requests
            for reader in recorder.readers:  # content that went on as it came is all there may be
                assert b"/smuggled" not in reader.rest
                assert not reader.rest or b"\r\ntransfer-encoding: chunked\r\n\r\n" in reader.rest
        else:
            expected = case.seen if case.last else (*case.seen, CANARY_SEEN)
            assert statuses == [200] * len(expected)
            assert matches(recorder.requests, expected), recorder.requests
            assert not recorder.names & case.absent
            assert not any(reader.rest for reader in recorder.readers)
    assert all(each == outcomes[0] for each in outcomes)
