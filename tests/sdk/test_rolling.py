from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshwright_sdk import RollingCounts


def count(window: RollingCounts, now: float, *, failures: int = 0, slow: int = 0) -> None:
    window.turn(now)
    window.calls += 1
    window.failures += failures
    window.slow += slow


def test_what_is_older_than_the_window_is_forgotten() -> None:
    window = RollingCounts(10.0, 100.0)
    count(window, 100.5, failures=1)
    count(window, 105.0, slow=1)

    seen = []
    for now in (109.9, 110.0, 114.9, 115.0):
        window.turn(now)
        seen.append((window.calls, window.failures, window.slow))

    assert seen == [(2, 1, 1), (1, 0, 1), (1, 0, 1), (0, 0, 0)]


def test_a_long_silence_forgets_everything() -> None:
    window = RollingCounts(10.0, 100.0)
    count(window, 100.0, failures=1)

    window.turn(1e9)

    assert (window.calls, window.failures, window.slow) == (0, 0, 0)
    assert window.ends == 1e9 + 1.0


def test_turning_before_the_part_ends_changes_nothing() -> None:
    window = RollingCounts(10.0, 100.0)
    count(window, 100.0)

    window.turn(100.99)

    assert (window.calls, window.ends) == (1, 101.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans(), st.booleans()), max_size=200))
def test_nine_tenths_of_the_window_count_and_nothing_older_than_all_of_it(
    steps: list[tuple[float, bool, bool]],
) -> None:
    window, now, calls = RollingCounts(10.0, 0.0), 0.0, []
    for pause, failed, slow in steps:
        now += pause
        count(window, now, failures=failed, slow=slow)
        calls.append((now, failed, slow))

        surely = [each for each in calls if each[0] > now - 9.0 + 1e-6]
        at_most = [each for each in calls if each[0] >= now - 10.0 - 1e-6]
        assert len(surely) <= window.calls <= len(at_most)
        assert sum(each[1] for each in surely) <= window.failures <= sum(each[1] for each in at_most)
        assert sum(each[2] for each in surely) <= window.slow <= sum(each[2] for each in at_most)
