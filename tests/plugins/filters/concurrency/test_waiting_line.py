from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshwright_plugins.filters.concurrency.waiting_line import WaitingLine

priorities = st.integers(-2, 12)
steps = st.lists(st.one_of(priorities, st.just("pop"), st.tuples(st.just("remove"), st.integers(0, 40))), max_size=60)


def test_the_higher_priority_goes_first_and_within_one_who_came_first() -> None:
    line: WaitingLine[str] = WaitingLine(10)
    for who, priority in (("a", 5), ("b", 9), ("c", 5), ("d", 0), ("e", 9)):
        line.push(who, priority)

    assert [line.pop() for _ in range(6)] == ["b", "e", "a", "c", "d", None]


def test_the_last_of_the_lowest_priority_makes_room_for_a_higher_one() -> None:
    line: WaitingLine[str] = WaitingLine(3)
    for who, priority in (("a", 2), ("b", 2), ("c", 3)):
        line.push(who, priority)

    assert line.push("d", 5) == "b"
    assert line.push("e", 2) == "e"  # nobody is below it
    assert [line.pop() for _ in range(3)] == ["d", "c", "a"]


def test_a_line_of_none_takes_nobody() -> None:
    assert WaitingLine[str](0).push("a", 9) == "a"


@given(st.integers(0, 8), steps)
def test_nobody_is_lost_doubled_or_overtaken(limit: int, steps: list[object]) -> None:
    """Against the plain idea: a list, sorted."""
    line: WaitingLine[int] = WaitingLine(limit)
    waiting: list[tuple[int, int]] = []  # highest first: minus the priority, and the number
    for number, step in enumerate(steps):
        if isinstance(step, int):
            priority = min(max(step, 0), 9)
            loser = line.push(number, step)
            waiting = sorted([*waiting, (-priority, number)])
            expected = waiting.pop()[1] if len(waiting) > limit else None
            assert loser == expected
        elif step == "pop":
            assert line.pop() == (waiting.pop(0)[1] if waiting else None)
        else:
            assert isinstance(step, tuple)
            gone = [each for each in waiting if each[1] == step[1]]
            assert line.remove(step[1]) == bool(gone)
            waiting = [each for each in waiting if each[1] != step[1]]
        assert len(line) == len(waiting)
        first = dict(reversed(waiting))
        assert sorted(line.heads()) == sorted(first.values())
