from __future__ import annotations

import asyncio

import pytest

from meshwright_sdk import Pulse
from meshwright_sdk.testing import ManualClock


async def test_it_beats_only_while_somebody_feels_it() -> None:
    clock, felt = ManualClock(), list[float]()
    pulse = Pulse(clock)

    def feel(turn_s: float, now: float) -> None:
        felt.append(now)

    await clock.advance(1)
    assert felt == []
    pulse.feel(feel)
    await clock.advance(0.1)
    assert len(felt) == 5

    await pulse.leave(feel)
    await pulse.leave(feel)
    await clock.advance(1)
    assert len(felt) == 5


async def test_all_who_feel_it_share_one_beat() -> None:
    clock, felt = ManualClock(), list[str]()
    pulse = Pulse(clock)

    def first(turn_s: float, now: float) -> None:
        felt.append("first")

    def second(turn_s: float, now: float) -> None:
        felt.append("second")

    pulse.feel(first)
    pulse.feel(second)
    await clock.advance(0.021)
    assert felt == ["first", "second"]

    await pulse.leave(first)
    await clock.advance(0.021)
    assert felt == ["first", "second", "second"]
    await pulse.leave(second)


async def test_one_who_raises_is_called_no_more_and_the_others_are(caplog: pytest.LogCaptureFixture) -> None:
    clock, felt = ManualClock(), list[str]()
    pulse = Pulse(clock)

    def broken(turn_s: float, now: float) -> None:
        felt.append("broken")
        raise OSError("no file descriptor is left")

    def sound(turn_s: float, now: float) -> None:
        felt.append("sound")

    pulse.feel(broken)
    pulse.feel(sound)
    await clock.advance(0.05)
    assert felt == ["broken", "sound", "sound"]
    assert "broken raised, and is called no more" in caplog.text

    await pulse.leave(sound)
    pulse.feel(broken)  # alone: then nothing beats, until somebody feels it again
    await clock.advance(0.05)
    pulse.feel(sound)
    await clock.advance(0.021)
    assert felt[3:] == ["broken", "sound"]
    await pulse.leave(sound)


async def test_it_tells_how_long_a_turn_takes() -> None:
    clock, felt = ManualClock(), list[float]()
    pulse = Pulse(clock)

    def feel(turn_s: float, now: float) -> None:
        felt.append(turn_s)

    def busy() -> None:
        """Take a quarter of a second in every turn."""
        clock._now += 0.25
        if not felt:
            asyncio.get_running_loop().call_soon(busy)

    pulse.feel(feel)
    await asyncio.sleep(0)
    busy()
    await clock.advance(0.02)
    await clock.advance(0)

    assert felt[0] == 0.25
    await pulse.leave(feel)
