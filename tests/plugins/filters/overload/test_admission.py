from __future__ import annotations

from collections import Counter, deque
from random import Random

import pytest

from meshwright_plugins.filters.overload.admission import ALL, Admission

TURN_S = 0.1
TARGET_S = 0.02


class Process:
    """One core that takes requests one after the other: one that is let in costs so much of it, a refused one less.

    What it has not come to yet waits, at most one request of each connection. `noise_s` makes the lag worse by chance.
    """

    def __init__(self, *, serve_s: float = 0.0001, refuse_s: float = 0.00001, noise_s: float = 0.0) -> None:
        self.admission = Admission(TARGET_S, Random(1))
        self.cost_s = {True: serve_s, False: refuse_s}
        self.noise_s = noise_s
        self.waiting: deque[int] = deque(maxlen=2_000)
        self.served: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self.lag_s = 0.0
        self._random = Random(2)

    def run(self, seconds: float, rates: dict[int, float]) -> None:
        """Have requests of these priorities come, so many a second."""
        self.served, self.refused = Counter(), Counter()
        for _ in range(round(seconds / TURN_S)):
            come = [
                priority
                for priority, rate in rates.items()
                for _ in range(round(rate * TURN_S * self._random.uniform(0.9, 1.1)))
            ]
            self._random.shuffle(come)
            self.waiting += come
            idle = self._work() / TURN_S
            self.admission.turn(self.lag_s + self._random.random() * self.noise_s, TURN_S, idle=idle)

    def _work(self) -> float:
        """Return how much of the turn was left over, in seconds."""
        left_s, count = TURN_S, 0
        while self.waiting and left_s > 0:
            priority = self.waiting.popleft()
            let_in = self.admission.admits(priority)
            (self.served if let_in else self.refused)[priority] += 1
            left_s -= self.cost_s[let_in]
            count += 1
        self.lag_s = len(self.waiting) * (TURN_S - left_s) / max(1, count)
        return max(0.0, left_s)


def test_without_overload_everything_passes() -> None:
    process = Process()

    process.run(5, {0: 1_000, 5: 6_000, 9: 1_000})

    assert process.refused == {}
    assert process.admission.border == ALL


@pytest.mark.parametrize("noise_s", [0.0, 0.02])
def test_at_twice_the_load_it_serves_what_it_can_and_the_high_priority_loses_nothing(noise_s: float) -> None:
    process = Process(noise_s=noise_s)  # 10,000 a second when nothing is refused
    process.run(3, {5: 16_000, 7: 4_000})

    process.run(10, {5: 16_000, 7: 4_000})

    assert process.refused[7] == 0
    possible = 10 * (10_000 - 10_000 * 0.1) / 0.9  # of 20,000, refusing the rest included
    assert process.served.total() > 0.9 * possible
    assert process.lag_s < 5 * TARGET_S


def test_the_lowest_priority_goes_first_and_the_next_only_when_that_is_not_enough() -> None:
    process = Process()
    process.run(5, {2: 8_000, 5: 4_000, 7: 4_000})
    process.run(5, {2: 8_000, 5: 4_000, 7: 4_000})
    assert process.refused[2] > 0
    assert process.refused[5] == process.refused[7] == 0

    process.run(5, {2: 8_000, 5: 8_000, 7: 4_000})
    process.run(5, {2: 8_000, 5: 8_000, 7: 4_000})
    assert process.served[2] < 0.05 * 5 * 8_000
    assert 0 < process.refused[5] < process.served[5]
    assert process.refused[7] == 0


def test_it_does_not_swing() -> None:
    process = Process()
    process.run(5, {5: 20_000})
    served = []
    for _ in range(20):
        process.run(0.5, {5: 20_000})
        served.append(process.served.total())

    assert max(served) < 1.3 * min(served)


def test_it_lets_everything_in_again_when_the_overload_is_over() -> None:
    process = Process()
    process.run(10, {5: 30_000})

    process.run(3, {5: 3_000})
    process.run(1, {5: 3_000})

    assert process.refused == {}


def test_however_late_the_loop_is_a_few_are_let_in() -> None:
    admission = Admission(TARGET_S, Random(0))
    for _ in range(200):
        for _ in range(1_000):
            admission.admits(5)
        admission.turn(10.0, TURN_S)

    let_in = sum(admission.admits(5) for _ in range(10_000))

    assert 100 <= let_in <= 400  # 2 percent


def test_what_other_limits_leave_is_shared_out_by_priority_too() -> None:
    admission = Admission(TARGET_S, Random(0))
    for _ in range(10):
        for priority in (5, 5, 5, 9):
            for _ in range(100):
                admission.admits(priority)
        admission.turn(0.0, TURN_S, spare=0.5)

    assert admission.border == 5
    assert admission.share == pytest.approx(1 / 3, abs=0.01)  # with all of priority 9 it makes a half
    assert admission.admits(9)


def test_one_late_turn_costs_little() -> None:
    process = Process()
    process.run(2, {5: 5_000})
    process.admission.turn(0.5, TURN_S)

    process.run(1, {5: 5_000})

    assert process.refused[5] < 0.1 * 5_000


def over(admission: Admission, *, lag_s: float = 2 * TARGET_S, turns: int = 20) -> float:
    """Have 1,000 requests a second come to a process that is late after a while; return the rate that is left."""
    for turn in range(100 + turns):
        for _ in range(100):
            admission.admits(5)
        admission.turn(lag_s if turn >= 100 else 0.0, TURN_S, idle=0.0)
    assert admission.rate is not None
    return admission.rate


@pytest.mark.parametrize(("idle", "rise"), [(0.0, 0.003), (0.02, 0.01), (0.05, 0.025), (0.5, 0.05)])
def test_what_was_not_idle_is_not_given_away(idle: float, rise: float) -> None:
    admission = Admission(TARGET_S, Random(0))
    before = over(admission)

    admission.turn(0.0, TURN_S, idle=idle)

    assert admission.rate == pytest.approx(before * (1 + rise))


def test_the_later_the_loop_the_less_is_let_in_of_what_was_served() -> None:
    short, long, longest = (over(Admission(TARGET_S, Random(0)), lag_s=lag_s, turns=3) for lag_s in (0.04, 0.1, 10.0))

    assert 1_000 * 0.9 < short < 1_000
    assert 0.7 * short < longest < long < short


def test_when_all_come_at_once_after_a_pause_those_of_a_high_priority_are_let_in() -> None:
    process = Process(serve_s=0.0005, refuse_s=0.00005)
    process.run(5, {5: 3_200, 7: 700})
    pause_s = 0.4

    for priority, rate in ((5, 3_200), (7, 700)):
        for _ in range(round(rate * pause_s)):
            process.admission.admits(priority)
    process.admission.turn(pause_s, TURN_S, idle=0.0)
    process.run(2, {5: 3_200, 7: 700})

    assert process.refused[7] == 0
    assert process.refused[5] > 0
