from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from meshwright.processes import stop_signals
from meshwright.processes.deadline import OVERDUE, Deadline
from meshwright.processes.stop_signals import AT_ONCE, StopSignals
from tests.core.processes.test_deadline import Exits


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
async def exits() -> Exits:
    return Exits()


@pytest.fixture
async def deadline(exits: Exits) -> AsyncIterator[Deadline]:
    deadline = Deadline(exits)
    yield deadline
    deadline.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_stops_and_the_second_one_cuts_off(number: signal.Signals, deadline: Deadline) -> None:
    signals = StopSignals(deadline)
    signals.listen(60)

    signal.raise_signal(number)
    await asyncio.wait_for(signals.stop.wait(), 5)
    assert not signals.at_once.is_set()

    signal.raise_signal(number)
    await asyncio.wait_for(signals.at_once.wait(), 5)


async def test_the_time_runs_from_the_signal_on_also_while_the_loop_stands_still(
    exits: Exits, deadline: Deadline
) -> None:
    signals = StopSignals(deadline)
    signals.listen(0.0)

    signal.raise_signal(signal.SIGTERM)
    stood_still = not signals.stop.is_set()

    assert (stood_still, await exits.code()) == (True, OVERDUE)


async def test_a_second_signal_ends_a_process_whose_loop_stands_still(
    deadline: Deadline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stop_signals, "UNHEARD_S", 0.0)
    codes: list[int] = []
    StopSignals(deadline, codes.append).listen(60)

    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)

    assert codes == [AT_ONCE]
    assert f"the event loop stands still at {__file__}:" in caplog.text


async def test_two_signals_in_a_moment_do_not_make_a_loop_stand_still(
    deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_signals, "UNHEARD_S", 60.0)
    codes: list[int] = []
    signals = StopSignals(deadline, codes.append)
    signals.listen(60)

    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(signals.at_once.wait(), 5)

    assert codes == []
