from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright_sdk import Rate, SlidingWindow, Taken, TokenBucket


def test_an_answer_is_true_when_something_was_granted() -> None:
    assert Taken(1, 0.0, 0, 1.0)
    assert not Taken(0, 1.0, 3, 1.0)


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket, rate = TokenBucket(), Rate("2/s")
    at_once = [bucket.take(100.0, rate, 3) for _ in range(4)]
    later = [bucket.take(100.5, rate, 3) for _ in range(2)]
    rested = [bucket.take(200.0, rate, 3, amount) for amount in (3, 1)]

    assert at_once == [Taken(1, 0.0, 2, 0.5), Taken(1, 0.0, 1, 1.0), Taken(1, 0.0, 0, 1.5), Taken(0, 0.5, 0, 1.5)]
    assert later == [Taken(1, 0.0, 0, 1.5), Taken(0, 0.5, 0, 1.5)]
    assert rested == [Taken(3, 0.0, 0, 1.5), Taken(0, 0.5, 0, 1.5)]


def test_a_refused_taking_takes_nothing() -> None:
    bucket, rate = TokenBucket(), Rate("1/s")
    bucket.take(0.0, rate, 2)

    assert bucket.take(0.0, rate, 2, 2) == Taken(0, 1.0, 1, 1.0)
    assert bucket.take(0.0, rate, 2)


def test_a_bucket_made_smaller_holds_less_at_once() -> None:
    bucket, rate = TokenBucket(), Rate("1/s")
    bucket.take(0.0, rate, 10)

    assert bucket.take(0.0, rate, 2, 2)
    assert bucket.take(0.0, rate, 2, 2).wait_s == 2.0


def test_a_grant_is_what_there_is() -> None:
    bucket, rate = TokenBucket(), Rate("1/s")

    assert bucket.grant(0.0, rate, 5, 3) == Taken(3, 0.0, 2, 3.0)
    assert bucket.grant(0.5, rate, 5, 100) == Taken(2, 0.0, 0, 4.5)
    assert bucket.grant(0.5, rate, 5, 100) == Taken(0, 0.5, 0, 4.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TokenBucket().take(0.0, Rate("1/s"), 3, 0), "amount: expected 1 to the burst of 3; got 0"),
        (lambda: TokenBucket().take(0.0, Rate("1/s"), 3, 4), "amount: expected 1 to the burst of 3; got 4"),
        (lambda: TokenBucket().grant(0.0, Rate("1/s"), 3, 0), "amount: expected 1 or more; got 0"),
        (lambda: SlidingWindow().take(0.0, 3, 1.0, 0), "amount: expected 1 to the limit of 3; got 0"),
        (lambda: SlidingWindow().take(0.0, 3, 1.0, 4), "amount: expected 1 to the limit of 3; got 4"),
        (lambda: SlidingWindow().take(0.0, 3, 0.0), "window_s: expected more than 0 seconds; got 0.0"),
        (lambda: SlidingWindow().take(0.0, 3, float("nan")), "window_s: expected more than 0 seconds; got nan"),
    ],
)
def test_what_could_never_be_granted_is_refused(call: Callable[[], Taken], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@given(
    st.sampled_from(["3/s", "7/m", "0.1/s", "1000/s"]).map(Rate),
    st.integers(1, 5),
    st.lists(st.floats(0, 3), max_size=20),
)
def test_a_bucket_keeps_its_promises(rate: Rate, burst: int, pauses: list[float]) -> None:
    bucket, started = TokenBucket(), 1_000.0
    now = started
    for number, pause in enumerate(pauses, 1):
        now += pause
        taken = bucket.take(now, rate, burst)
        if not taken:
            now += taken.wait_s
            assert bucket.take(now, rate, burst)

        assert number <= burst + (now - started) * rate.per_second + 1e-6


def test_a_window_that_is_full_opens_when_the_first_taking_is_over() -> None:
    window = SlidingWindow()
    taken = [window.take(time, 3, 10.0) for time in (0.0, 2.0, 4.0, 5.0)]

    assert taken[:3] == [Taken(1, 0.0, 2, 10.0), Taken(1, 0.0, 1, 10.0), Taken(1, 0.0, 0, 10.0)]
    assert taken[3] == pytest.approx((0, 5.0, 0, 9.0))
    assert window.take(10.0, 3, 10.0) == Taken(1, 0.0, 0, 10.0)


def test_a_wait_for_several_is_until_that_many_are_over() -> None:
    window = SlidingWindow()
    for time in (0.0, 2.0, 4.0):
        window.take(time, 3, 10.0)

    assert window.take(5.0, 3, 10.0, 2).wait_s == pytest.approx(7.0)


def test_a_lower_limit_counts_what_was_taken_before() -> None:
    window = SlidingWindow()
    window.take(0.0, 100, 10.0, 80)

    assert window.take(1.0, 5, 10.0) == pytest.approx((0, 9.0, 0, 9.0))
    assert window.take(10.0, 5, 10.0)


TAKINGS = st.lists(st.tuples(st.floats(0, 2), st.integers(1, 3)), max_size=80)


@given(st.sampled_from([3, 4, 64, 65, 200]), st.sampled_from([0.3, 1.0, 7.0]), TAKINGS, st.booleans())
def test_no_span_of_a_windows_length_ever_has_more_than_the_limit(
    limit: int, window_s: float, takings: list[tuple[float, int]], is_patient: bool
) -> None:
    window, now = SlidingWindow(), 1_000.0
    granted: list[tuple[float, int]] = []
    for pause_s, amount in takings:
        now += pause_s * window_s / limit
        taken = window.take(now, limit, window_s, amount)
        if not taken and is_patient:
            now += taken.wait_s
            taken = window.take(now, limit, window_s, amount)
            assert taken
        granted.append((now, taken.granted))
        used = sum(count for time, count in granted if time > now - window_s)

        assert used <= limit
        assert taken.remaining <= limit - used


def test_a_great_limit_gets_nearly_all_of_it_in_few_notes() -> None:
    window, granted = SlidingWindow(), 0
    for step in range(40_000):
        granted += window.take(step / 1000, 1_000, 1.0, 2).granted

        assert len(window._notes) <= 66

    assert 40 * 1_000 * 64 / 65 <= granted <= 40_000


def test_a_small_limit_gets_all_of_it() -> None:
    window = SlidingWindow()
    taken = [(step / 8, window.take(step / 8, 4, 1.0)) for step in range(400)]
    times = [time for time, each in taken if each]

    assert len(times) == 200
    assert {after - before for before, after in pairwise(times[3::4])} == {1.0}
