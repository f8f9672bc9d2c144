from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from meshwright_sdk import Entries

KEYS = st.sampled_from("abcdef")
STEPS = st.one_of(
    st.tuples(st.just("put"), KEYS, st.one_of(st.integers(1, 5), st.just(inf))),
    st.tuples(st.sampled_from(["get", "pop"]), KEYS, st.just(0)),
    st.tuples(st.just("wait"), st.just(""), st.integers(1, 4)),
)


@given(st.lists(STEPS, max_size=60))
def test_a_map_with_room_forgets_what_has_ended_and_nothing_else(steps: list[tuple[str, str, float]]) -> None:
    entries: Entries[int] = Entries(6)
    model: dict[str, tuple[int, float]] = {}
    now = 0.0
    for number, (step, key, time) in enumerate(steps):
        model = {known: kept for known, kept in model.items() if kept[1] > now}
        if step == "wait":
            now += time
        elif step == "put":
            entries.put(key, number, now, now + time)
            model[key] = (number, now + time)
        elif step == "pop":
            assert entries.pop(key, now) == (model.pop(key, None) is not None)
        else:
            entry = entries.get(key, now)
            assert (entry and (entry.value, entry.ends)) == model.get(key)


@given(st.lists(STEPS, max_size=60), st.integers(1, 5))
def test_a_map_without_room_keeps_the_latest(steps: list[tuple[str, str, float]], limit: int) -> None:
    entries: Entries[int] = Entries(limit)
    used: dict[str, None] = {}
    now = 0.0
    for number, (step, key, time) in enumerate(steps):
        now += time if step == "wait" else 0
        if step == "put":
            entries.put(key, number, now)
        elif step == "pop":
            entries.pop(key, now)
        used.pop(key, None)
        if step == "put" or (step == "get" and entries.get(key, now) is not None):
            used[key] = None

        assert len(entries) <= limit
        assert set(entries._entries) == set(list(used)[-limit:])
        used = dict.fromkeys(list(used)[-limit:])


def test_notes_about_what_is_gone_are_cleared_away() -> None:
    entries: Entries[int] = Entries(10)
    for number in range(1000):
        entries.put("key", number, 0.0, 1000.0 - number / 10)
        entries.pop("key", 0.0)

    assert len(entries._notes) < 100


def test_putting_again_counts_as_use() -> None:
    entries: Entries[int] = Entries(2)
    for key in "abac":
        entries.put(key, 0, 0.0)

    assert (entries.get("a", 0.0) is None, entries.get("b", 0.0) is None) == (False, True)


def test_what_was_prolonged_is_kept_until_its_new_end_and_cleared_away_then() -> None:
    entries: Entries[int] = Entries(3)
    entries.put("lasting", 0, 0.0)
    entries.put("prolonged", 0, 0.0, 5.0)
    entries.put("prolonged", 1, 0.0, 10.0)
    entries.put("one", 0, 6.0)
    kept = len(entries)
    entries.put("two", 0, 11.0)

    assert kept == 3
    assert entries.get("lasting", 11.0) is not None
    assert entries.get("prolonged", 11.0) is None


def test_what_is_prolonged_again_and_again_needs_no_note_each_time() -> None:
    entries: Entries[int] = Entries(10)
    for end in range(1, 50):
        entries.put("key", 0, 0.0, float(end))

    assert len(entries._notes) == 1
