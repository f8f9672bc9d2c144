from __future__ import annotations

from random import Random

import pytest

from meshwright_plugins.filters.concurrency.gradient_limit import GradientLimit, GradientSettings
from tests.plugins.filters.concurrency.simulation import Latency, Simulation


def simulate(work: Latency, **more: float | int) -> Simulation:
    names = GradientSettings.__dataclass_fields__
    settings = GradientSettings(**{name: value for name, value in more.items() if name in names})  # type: ignore[arg-type]
    rest = {name: value for name, value in more.items() if name not in names}
    return Simulation(work, settings=settings, **{"rate": 1_000, **rest})  # type: ignore[arg-type]


def steady(time: float, random: Random) -> float:
    return 0.01


def noisy(time: float, random: Random) -> float:
    return 0.01 * random.lognormvariate(0, 0.8)


def slow_from_30_to_60(time: float, random: Random) -> float:
    return 2.0 if 30 <= time < 60 else 0.01


@pytest.mark.parametrize("work", [steady, noisy])
def test_with_a_steady_service_hardly_anybody_is_refused(work: Latency) -> None:
    ended = simulate(work, rate=2_000).run(5)
    before = ended.refused

    ended.run(65)

    assert ended.refused - before < 0.005 * ended.served


def test_what_is_not_used_does_not_grow() -> None:
    assert simulate(steady, rate=500).run(120).limit.limit < 50  # five are in flight on average, 20 now and then


@pytest.mark.parametrize("work", [steady, noisy])
def test_under_too_much_load_it_settles_near_what_the_service_can_do(work: Latency) -> None:
    ended = simulate(work, rate=3_000, workers=10).run(80)

    assert 10 <= ended.limit.limit <= 30
    assert ended.served > 0.85 * 80 * 10 / (0.01 if work is steady else 0.0138)  # the mean of the noisy one
    late = [took for at, took in ended.took if at > 40]
    assert sum(late) / len(late) < 0.035


def test_a_service_that_turns_slow_holds_few_requests() -> None:
    ended = simulate(slow_from_30_to_60, rate=500).run(31)
    assert ended.limit.limit <= 6
    assert ended.most_in_flight < 50  # of 500 a second, a thousand would be held without a limit

    ended.run(59.9)

    assert ended.in_flight <= 4


def test_the_time_without_an_answer_is_taken_for_the_latency() -> None:
    ended = simulate(slow_from_30_to_60, rate=500).run(29.9)
    before = ended.limit.limit

    ended.run(30.7)

    assert ended.served == pytest.approx(30 * 500, rel=0.02)  # nothing has been answered since
    assert ended.limit.limit < before / 2


def test_it_recovers_within_seconds() -> None:
    ended = simulate(slow_from_30_to_60, rate=500).run(63)
    before = ended.refused

    ended.run(100)

    assert ended.refused - before < 50
    assert ended.limit.limit > 20


def test_a_service_that_stays_slow_is_believed_bit_by_bit() -> None:
    ended = simulate(lambda time, random: 2.0 if time >= 30 else 0.01, rate=500).run(90)
    assert ended.limit.limit <= 6

    ended.run(450)

    assert ended.limit.limit > 100


def test_what_is_slower_than_the_slowest_is_never_usual() -> None:
    ended = simulate(lambda time, random: 2.0 if time >= 30 else 0.01, rate=500, slowest_s=0.5).run(450)

    assert ended.limit.limit <= 6
    assert ended.limit.usual_s == 0.5


def test_what_was_usual_at_first_may_have_been_a_queue() -> None:
    """A gateway that starts in the middle of an overload finds out all the same."""
    ended = simulate(steady, rate=3_000, workers=3).run(65)

    assert ended.limit.usual_s == pytest.approx(0.01, rel=0.3)


def limit_in_use(**settings: float) -> tuple[GradientLimit, float]:
    """Return a limit that knows a latency of 10 ms, after its first probe, and the time."""
    limit = GradientLimit(GradientSettings(**settings), 0.0, Random(0))  # type: ignore[arg-type]
    for _ in range(10):
        limit.answered(0.11, 0.12, 5)
    assert not limit.probing
    return limit, 0.12


def window(limit: GradientLimit, now: float, latency_s: float, in_flight: int, *, failed: bool = False) -> float:
    """Have a window end with that median."""
    now += 0.2
    for _ in range(10):
        (limit.failed if failed else limit.answered)(now - latency_s, now, in_flight)
    return now


def test_the_documented_formula() -> None:
    limit, now = limit_in_use()

    now = window(limit, now, 0.01, 20)
    assert limit.limit == 22  # 20 + (20 * 1 + sqrt(20) - 20) / 2

    window(limit, now, 0.03, 20)
    assert limit.limit == 19  # 22.24 + (22.24 * 0.5 + sqrt(22.24) - 22.24) / 2


def test_with_less_than_half_of_it_in_flight_it_stays() -> None:
    limit, now = limit_in_use()

    now = window(limit, now, 0.01, 9)
    window(limit, now, 1.0, 9)

    assert limit.limit == 20


def test_a_quick_failure_says_nothing_and_a_slow_one_counts() -> None:
    limit, now = limit_in_use()

    now = window(limit, now, 0.001, 20, failed=True)
    assert limit.limit == 20
    assert limit.usual_s == pytest.approx(0.01)

    window(limit, now, 0.2, 20, failed=True)
    assert limit.limit < 20


def test_a_probe_counts_only_what_was_sent_after_it_began() -> None:
    limit, now = limit_in_use(probe_every_s=0.1)
    now = window(limit, now, 0.01, 20)
    assert limit.probing
    assert limit.limit == 5  # a quarter of 22

    for _ in range(30):
        limit.answered(now - 1, now + 0.2, 20)
    assert limit.probing

    now = window(limit, now, 0.015, 5)
    assert not limit.probing
    assert limit.limit == 22
    assert limit.usual_s == pytest.approx(0.015)
