from __future__ import annotations

from meshwright.processes.crew import LONGEST_PAUSE_S, pause_before_replacing_s


def test_the_first_death_is_replaced_at_once_and_later_ones_ever_more_hesitantly() -> None:
    pauses = [pause_before_replacing_s(deaths) for deaths in range(1, 6)]

    assert pauses == [0.0, 0.25, 0.5, 1.0, 2.0]


def test_the_pause_has_a_bound() -> None:
    assert pause_before_replacing_s(100_000) == LONGEST_PAUSE_S
