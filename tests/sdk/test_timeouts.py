from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright_sdk import SystemClock, Tasks, Timeouts, Timer
from meshwright_sdk.testing import ManualClock
from meshwright_sdk.timeouts import DEADLINE, EXPIRED, TICK_S

MOST_LATE_S = 0.010


class Bell(Timer):
    """Notes when it fires, or does what a test wants."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.rang: list[float] = []

    def fire(self) -> None:
        self.rang.append(self.clock.monotonic())


async def endless() -> None:
    await asyncio.Event().wait()


async def test_a_timer_fires_once_and_not_before_its_time() -> None:
    clock = ManualClock()
    timeouts, bell = Timeouts(clock), Bell(clock)
    timeouts.start(bell, clock.monotonic() + 2)
    await clock.advance(2.0)
    early = list(bell.rang)
    await clock.advance(100)

    assert early == []
    assert len(bell.rang) == 1
    assert 1002 <= bell.rang[0] <= 1002 + MOST_LATE_S
    assert (len(timeouts), bell.running) == (0, False)


async def test_a_stopped_timer_never_fires_and_can_be_started_again() -> None:
    clock = ManualClock()
    timeouts, bell = Timeouts(clock), Bell(clock)
    timeouts.start(bell, clock.monotonic() + 2)
    bell.stop()
    bell.stop()
    await clock.advance(5)
    silent = list(bell.rang)
    timeouts.start(bell, clock.monotonic() + 1)
    await clock.advance(5)

    assert silent == []
    assert len(bell.rang) == 1
    bell.stop()


async def test_a_timer_that_is_due_before_the_others_does_not_wait_for_them() -> None:
    clock = ManualClock()
    timeouts, late, early = Timeouts(clock), Bell(clock), Bell(clock)
    timeouts.start(late, clock.monotonic() + 60)
    timeouts.start(early, clock.monotonic() + 1)
    await clock.advance(1 + MOST_LATE_S)

    assert (len(early.rang), len(late.rang)) == (1, 0)


async def test_a_time_that_is_over_already_fires_at_the_next_tick() -> None:
    clock = ManualClock()
    timeouts, bell = Timeouts(clock), Bell(clock)
    timeouts.start(bell, clock.monotonic() - 3)
    at_once = list(bell.rang)
    await clock.advance(MOST_LATE_S)

    assert at_once == []
    assert len(bell.rang) == 1


async def test_one_timer_may_stop_and_start_others_when_it_fires(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    timeouts, stopped, started = Timeouts(clock), Bell(clock), Bell(clock)

    class Meddler(Bell):
        def fire(self) -> None:
            super().fire()
            stopped.stop()
            timeouts.start(started, clock.monotonic() - 1)
            raise KeyError("oops")

    meddler, behind = Meddler(clock), Bell(clock)
    for timer in (meddler, stopped, behind):
        timeouts.start(timer, clock.monotonic() + 1)
    await clock.advance(1 + 2 * MOST_LATE_S)

    assert [len(each.rang) for each in (meddler, stopped, behind, started)] == [1, 0, 1, 1]
    assert "Meddler raised" in caplog.text
    assert len(timeouts) == 0


@given(
    st.lists(
        st.tuples(
            st.floats(0, 3),  # how long after the one before it starts
            st.floats(0, 3),  # its time
            st.none() | st.floats(0, 3),  # when it is stopped
        ),
        max_size=20,
    )
)
def test_every_timer_fires_in_its_time_or_is_stopped(plan: list[tuple[float, float, float | None]]) -> None:
    async def one(clock: ManualClock, timeouts: Timeouts, bell: Bell, time_s: float, stop_s: float | None) -> None:
        began = clock.monotonic()
        timeouts.start(bell, began + time_s)
        if stop_s is not None:
            await clock.sleep(stop_s)
            fired = bool(bell.rang)
            bell.stop()
            assert fired or stop_s <= time_s + MOST_LATE_S
            await clock.sleep(10)
            assert bool(bell.rang) == fired
        else:
            await clock.sleep(10)
            assert len(bell.rang) == 1
        assert all(began + time_s <= at <= began + time_s + MOST_LATE_S for at in bell.rang)

    async def run() -> None:
        clock, tasks = ManualClock(), Tasks()
        timeouts, runs = Timeouts(clock), []
        for pause_s, time_s, stop_s in plan:
            await clock.advance(pause_s)
            runs.append(tasks.spawn(one(clock, timeouts, Bell(clock), time_s, stop_s), name="one"))
        await clock.advance(20)
        await asyncio.gather(*runs)
        assert len(timeouts) == 0
        assert clock.pending == 0

    asyncio.run(run())


async def test_a_block_in_time_goes_on_as_if_nothing_bounded_it() -> None:
    clock = ManualClock()
    timeouts = Timeouts(clock)

    async def work() -> str:
        with timeouts.until(clock.monotonic() + 2) as bound:
            await asyncio.sleep(0)
            return f"done {bound.expired}"
        return "late"

    assert await work() == "done False"
    assert len(timeouts) == 0
    with pytest.raises(KeyError), timeouts.until(clock.monotonic() + 2):
        raise KeyError
    assert len(timeouts) == 0


async def test_a_block_that_is_late_is_left_and_the_task_goes_on_uncancelled() -> None:
    clock, tasks = ManualClock(), Tasks()
    timeouts = Timeouts(clock)

    async def work() -> str:
        with timeouts.until(clock.monotonic() + 2) as bound:
            await endless()
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)
        return f"late {bound.expired} {task.cancelling()}"

    task = tasks.spawn(work(), name="work")
    await clock.advance(2 + MOST_LATE_S)

    assert await task == "late True 0"


async def test_a_cancellation_from_elsewhere_goes_on() -> None:
    clock, tasks = ManualClock(), Tasks()
    timeouts = Timeouts(clock)

    async def work() -> None:
        with timeouts.until(clock.monotonic() + 2):
            await endless()

    task = tasks.spawn(work(), name="work")
    await clock.advance(1)
    task.cancel()
    await clock.advance(3)

    assert task.cancelled()
    assert len(timeouts) == 0


@pytest.mark.parametrize("client_first", [True, False])
async def test_a_cancellation_from_elsewhere_at_the_same_time_goes_on_too(client_first: bool) -> None:
    clock, tasks, expired = ManualClock(), Tasks(), []
    timeouts = Timeouts(clock)

    class Client(Timer):
        def fire(self) -> None:
            task.cancel()

    async def work() -> None:
        if client_first:
            timeouts.start(Client(), clock.monotonic() + 2)
        bound = timeouts.until(clock.monotonic() + 2)
        try:
            with bound:
                if not client_first:
                    timeouts.start(Client(), clock.monotonic() + 2)
                await endless()
        finally:
            expired.append(bound.expired)

    task = tasks.spawn(work(), name="work")
    await clock.advance(3)

    assert task.cancelled()
    assert expired == [True]
    assert len(timeouts) == 0


@pytest.mark.parametrize("outer_s", [1.0, 1.001, 2.0])
@pytest.mark.parametrize("shared", [True, False])
async def test_the_outer_of_two_blocks_that_expire_together_is_the_one_that_is_late(
    outer_s: float, shared: bool
) -> None:
    clock, tasks = ManualClock(), Tasks()
    outer = Timeouts(clock)
    inner = outer if shared else Timeouts(clock)

    async def work() -> str:
        now = clock.monotonic()
        with outer.until(now + outer_s):
            with inner.until(now + 1):
                await endless()
            return "inner"
        return "outer"

    task = tasks.spawn(work(), name="work")
    await clock.advance(5)

    assert await task == ("inner" if outer_s > 1.1 else "outer")
    assert (len(outer), len(inner)) == (0, 0)
    assert task.cancelling() == 0


async def test_an_answer_that_comes_in_the_same_turn_as_the_end_of_the_time_is_late() -> None:
    clock, tasks = ManualClock(), Tasks()
    timeouts = Timeouts(clock)
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    class Answer(Timer):
        def fire(self) -> None:
            answer.set_result("there")

    async def work() -> str:
        timeouts.start(Answer(), clock.monotonic() + 1)
        with timeouts.until(clock.monotonic() + 1):
            return await answer
        return "late"

    task = tasks.spawn(work(), name="work")
    await clock.advance(2)

    assert await task == "late"
    assert task.cancelling() == 0


@pytest.mark.parametrize("message", [EXPIRED, DEADLINE])
async def test_the_cancellation_says_whose_time_it_was(message: str) -> None:
    clock, tasks, seen = ManualClock(), Tasks(), []
    timeouts = Timeouts(clock)

    async def work() -> None:
        with timeouts.until(clock.monotonic() + 1, message):
            try:
                await endless()
            except asyncio.CancelledError as error:
                seen.append(error.args)
                raise

    task = tasks.spawn(work(), name="work")
    await clock.advance(2)
    await task

    assert seen == [(message,)]


async def test_what_makes_another_error_of_the_cancellation_leaves_the_task_uncancelled() -> None:
    clock, tasks = ManualClock(), Tasks()
    timeouts = Timeouts(clock)

    async def work() -> int:
        try:
            with timeouts.until(clock.monotonic() + 1):
                try:
                    await endless()
                except asyncio.CancelledError:
                    raise KeyError from None
        except KeyError:
            task = asyncio.current_task()
            assert task is not None
            return task.cancelling()
        return -1

    task = tasks.spawn(work(), name="work")
    await clock.advance(2)

    assert await task == 0


async def test_one_object_can_serve_another_loop_after_the_first(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    timeouts = Timeouts(clock)

    async def work() -> str:
        with timeouts.until(clock.monotonic() + 1):
            return "done"
        return "late"

    def elsewhere() -> str:
        return asyncio.run(work())

    assert await work() == "done"
    assert await asyncio.to_thread(elsewhere) == "done"


def test_outside_of_a_task_it_says_so() -> None:
    loop = asyncio.new_event_loop()
    wrong: list[BaseException] = []

    def use() -> None:
        try:
            with Timeouts(SystemClock()).until(0):
                pass
        except RuntimeError as error:
            wrong.append(error)
        loop.stop()

    loop.call_soon(use)
    loop.run_forever()
    loop.close()

    assert "in a task" in str(wrong[0])


async def test_on_the_machines_clock_it_is_neither_early_nor_later_than_two_ticks() -> None:
    timeouts, late = Timeouts(SystemClock()), []
    for time_s in (0.0, 0.003, 0.02, 0.031):
        due = monotonic() + time_s
        with timeouts.until(due):
            await endless()
        late.append(monotonic() - due)

    assert min(late) >= 0
    assert min(late) <= 2 * TICK_S  # the best of some: the machine may be busy
    assert len(timeouts) == 0


async def test_many_in_time_leave_nothing_behind() -> None:
    clock = ManualClock()
    timeouts = Timeouts(clock)
    for _ in range(1000):
        with timeouts.until(clock.monotonic() + 60):
            pass
        await asyncio.sleep(0)
        clock_pending = clock.pending
        assert clock_pending <= 1

    assert timeouts._slots == {}


async def test_who_sleeps_until_the_same_tick_wakes_in_the_same_turn() -> None:
    clock, tasks = ManualClock(), Tasks()
    timeouts, woken = Timeouts(clock), []

    async def sleeper(number: int) -> None:
        await timeouts.until_due(clock.monotonic() + 1)
        woken.append(number)

    for number in range(3):
        tasks.spawn(sleeper(number), name=f"sleeper {number}")
    await clock.advance(1.0)
    assert woken == []
    await clock.advance(MOST_LATE_S)

    assert woken == [0, 1, 2]
    assert len(timeouts) == 0


async def test_a_sleeper_that_is_cancelled_wakes_no_more(caplog: pytest.LogCaptureFixture) -> None:
    clock, tasks = ManualClock(), Tasks()
    timeouts = Timeouts(clock)

    async def sleeper() -> None:
        await timeouts.until_due(clock.monotonic() + 1)

    task = tasks.spawn(sleeper(), name="sleeper")
    await clock.advance(0.5)
    task.cancel()
    await clock.advance(1)

    assert task.cancelled()
    assert len(timeouts) == 0
    assert caplog.records == []  # where a timer that raises is told
