from __future__ import annotations

import asyncio
import contextlib

import pytest

from meshwright.traffic.parts import Part, hold, release


class Recorder:
    """A part's value that takes note of its life."""

    def __init__(self, name: str, log: list[str], error: BaseException | None = None) -> None:
        self._name = name
        self._log = log
        self._error = error

    async def start(self) -> None:
        self._log.append(f"start {self._name}")

    async def close(self) -> None:
        self._log.append(f"close {self._name}")
        if self._error is not None:
            raise self._error


@pytest.fixture
def log() -> list[str]:
    return []


async def test_the_last_holder_closes_a_part(log: list[str]) -> None:
    part = Part("a", 1, Recorder("a", log))
    hold([part])
    hold([part])
    await release([part])
    assert log == []
    await release([part])
    assert log == ["close a"]


async def test_parts_are_closed_in_the_opposite_order_of_their_start(log: list[str]) -> None:
    parts = [Part(name, 1, Recorder(name, log)) for name in "abc"]
    hold(parts)
    await release(parts)
    assert log == ["close c", "close b", "close a"]


async def test_one_that_fails_to_close_does_not_keep_the_others_open(
    log: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    parts = [Part("a", 1, Recorder("a", log)), Part("b", 1, Recorder("b", log, RuntimeError("stuck")))]
    hold(parts)
    await release(parts)
    assert log == ["close b", "close a"]
    assert "closing b failed" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
async def test_whatever_a_close_raises_the_others_are_closed(log: list[str], error: BaseException) -> None:
    parts = [Part("a", 1, Recorder("a", log)), Part("b", 1, Recorder("b", log, error))]
    hold(parts)
    await release(parts)
    assert log == ["close b", "close a"]


class Stubborn:
    """A part's value whose close heeds no cancellation until it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def close(self) -> None:
        while not self.released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.released.wait()


async def test_a_close_that_never_ends_is_left_alone_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    value = Stubborn()
    await Part("filter slow", 1, value).close(within_s=0.01)
    value.released.set()
    assert "closing filter slow takes longer than 0.01 s" in caplog.text


async def test_one_that_exits_in_its_start_is_a_failure(log: list[str]) -> None:
    class Exits:
        async def start(self) -> None:
            raise SystemExit(3)

    with pytest.raises(RuntimeError, match="SystemExit"):
        await Part("a", 1, Exits()).start()


async def test_a_part_starts_its_value_and_ends_its_background_work(log: list[str]) -> None:
    part = Part("a", 1, Recorder("a", log))
    await part.start()
    part.tasks.spawn(asyncio.Event().wait(), name="for ever")
    await part.close()
    assert log == ["start a", "close a"]
    assert len(part.tasks) == 0


async def test_a_value_that_can_neither_start_nor_close_is_a_part_too() -> None:
    part = Part("a", 1, object())
    hold([part])
    await part.start()
    await release([part])
