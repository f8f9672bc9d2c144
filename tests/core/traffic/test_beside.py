from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from meshwright.traffic.beside import SWITCH_S, Slices, free, in_thread


async def turns_taken(work: asyncio.Task[None]) -> int:
    """Return how many turns everything else got while `work` ran."""
    turns = 0
    while not work.done():
        turns += 1
        await asyncio.sleep(0)
    return turns


async def steps(slices: Slices) -> None:
    for _ in range(100):
        await slices.turn()


@pytest.mark.parametrize(("slice_s", "at_least", "at_most"), [(0.0, 100, 102), (3600.0, 0, 2)])
async def test_work_gives_way_when_its_slice_is_used_up(slice_s: float, at_least: int, at_most: int) -> None:
    work = asyncio.get_running_loop().create_task(steps(Slices(slice_s)))

    assert at_least <= await turns_taken(work) <= at_most


async def test_work_in_a_thread_gives_way_soon_and_only_while_there_is_some() -> None:
    def work(factor: int) -> tuple[int, bool, float]:
        return 2 * factor, threading.current_thread() is threading.main_thread(), sys.getswitchinterval()

    before = sys.getswitchinterval()
    found = await asyncio.gather(in_thread(work, 1), in_thread(work, factor=2))

    assert [each[:2] for each in found] == [(2, False), (4, False)]
    assert all(each[2] == pytest.approx(SWITCH_S) for each in found)
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration()])
async def test_what_would_end_the_loop_or_a_coroutine_comes_as_an_ordinary_error(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(RuntimeError, match=f"it raised {type(error).__name__}"):
        await in_thread(work)


async def test_errors_come_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)


async def test_memory_is_given_back_bit_by_bit() -> None:
    class Piece:
        def __del__(self) -> None:
            freed.append(turn)

    freed: list[int] = []
    turn = 0
    work = asyncio.get_running_loop().create_task(free([Piece() for _ in range(100)], 0, Slices(0.0)))
    while not work.done():
        await asyncio.sleep(0)
        turn += 1

    assert len(freed) == 100
    assert len(set(freed)) == 5
