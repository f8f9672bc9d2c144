from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshwright_sdk import RetryBudget
from meshwright_sdk.retry_budget import BURST, PARTS

WINDOW_S = 10.0
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.01, 0.3, 0.99, 1.0, 2.5, 9.0, 10.0, 25.0]),  # time that passes
        st.integers(0, 40),  # requests
        st.integers(0, 40),  # attempts that are asked for
    ),
    max_size=40,
)


class Time:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def spent(budget: RetryBudget, asked: int) -> int:
    return sum([budget.spend() for _ in range(asked)])


def test_a_share_of_the_requests_may_be_tried_again() -> None:
    budget = RetryBudget(0.2, minimum=0, now=Time())
    for _ in range(100):
        budget.count()

    assert spent(budget, 100) == 20
    assert (budget.refused, budget.spent) == (80, 20)


def test_a_share_that_is_no_binary_fraction_is_not_rounded_away() -> None:
    for share, requests, allowed in ((0.29, 100, 29), (0.57, 100, 57), (0.7, 10, 7), (1.0, 3, 3)):
        budget = RetryBudget(share, minimum=0, now=Time())
        for _ in range(requests):
            budget.count()
        assert spent(budget, 100) == allowed


def test_little_traffic_may_be_tried_again_too() -> None:
    budget = RetryBudget(0.2, minimum=3, now=Time())
    budget.count()

    assert spent(budget, 10) == 3


def test_what_was_spent_comes_back_when_the_window_has_passed() -> None:
    time = Time()
    budget = RetryBudget(0.2, minimum=3, now=time)
    first = spent(budget, 10)
    time.s += WINDOW_S - 1.01
    before = spent(budget, 10)
    time.s += 1.02
    after = spent(budget, 10)

    assert (first, before, after) == (3, 0, 3)


def test_an_outage_after_much_traffic_is_not_answered_with_all_of_the_windows_attempts_at_once() -> None:
    time = Time()
    budget = RetryBudget(0.2, minimum=0, now=time)
    for _ in range(10):
        for _ in range(1000):
            budget.count()
        time.s += 1.0
    per_second = []
    for _ in range(20):
        for _ in range(1000):
            budget.count()
        per_second.append(spent(budget, 3000))
        time.s += 1.0

    assert max(per_second) <= 0.2 * 1000 * BURST
    assert all(sum(per_second[at : at + PARTS]) <= 0.2 * 1000 * PARTS for at in range(len(per_second) - PARTS))
    assert sum(per_second) >= 0.2 * 1000 * 19


@given(STEPS, st.sampled_from([0.05, 0.2, 1.0]))
def test_without_a_minimum_attempts_are_never_more_than_their_share(
    steps: list[tuple[float, int, int]], share: float
) -> None:
    time = Time()
    budget = RetryBudget(share, minimum=0, now=time)
    requests = attempts = 0
    for pause_s, more, asked in steps:
        time.s += pause_s
        for _ in range(more):
            budget.count()
        requests += more
        attempts += spent(budget, asked)
        assert attempts <= share * requests + 1e-6


@given(STEPS, st.integers(0, 12))
def test_each_window_adds_the_minimum_once_at_most(steps: list[tuple[float, int, int]], minimum: int) -> None:
    time, share = Time(), 0.2
    budget = RetryBudget(share, minimum=minimum, now=time)
    began, requests, attempts = time.s, 0, 0
    for pause_s, more, asked in steps:
        time.s += pause_s
        for _ in range(more):
            budget.count()
        requests += more
        attempts += spent(budget, asked)
        windows = 1 + (time.s - began) / (WINDOW_S * (PARTS - 1) / PARTS)
        assert attempts <= share * requests + minimum * windows + 1e-6


@given(STEPS)
def test_its_numbers_are_those_of_the_last_window(steps: list[tuple[float, int, int]]) -> None:
    time = Time()
    budget = RetryBudget(0.5, minimum=1, now=time)
    log: list[tuple[float, int, int]] = []
    for pause_s, more, asked in steps:
        time.s += pause_s
        for _ in range(more):
            budget.count()
        log.append((time.s, more, spent(budget, asked)))
        state = budget.state()
        for at, name in ((1, "requests"), (2, "attempts")):
            surely = sum(entry[at] for entry in log if entry[0] > time.s - WINDOW_S * 0.9 + 1e-6)
            at_most = sum(entry[at] for entry in log if entry[0] >= time.s - WINDOW_S - 1e-6)
            assert surely <= state[name] <= at_most
