from __future__ import annotations

import sys
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from meshwright_plugins.filters.cache.answer import OVERHEAD_BYTES, Answer
from meshwright_plugins.filters.cache.memory import MemoryShelf
from meshwright_plugins.filters.cache.terms import Terms
from meshwright_sdk import variant_of

TERMS = Terms(0.0, 60.0, 0.0, 0.0, validated=False, strict=False, for_all=False)
ROOM = 20 * OVERHEAD_BYTES


class Step(NamedTuple):
    key: str
    value: bytes
    names: tuple[bytes, ...]
    size: int
    action: str


steps = st.lists(
    st.builds(
        Step,
        key=st.sampled_from("abc"),
        value=st.sampled_from([b"1", b"2", b"3"]),
        names=st.sampled_from([(), (b"x-a",), (b"x-b",), (b"x-a", b"x-b")]),
        size=st.integers(0, ROOM),
        action=st.sampled_from(["put", "put", "put", "get", "remove", "purge"]),
    ),
    max_size=80,
)


def answer(data: bytes, names: tuple[bytes, ...] = (), raw: list[tuple[bytes, bytes]] | None = None) -> Answer:
    return Answer(200, [], data, TERMS, kept_at=0.0, names=names, values=variant_of(names, raw or []))


@given(steps)
def test_it_never_has_more_than_it_may_and_never_gives_what_is_another_variant(steps: list[Step]) -> None:
    shelf = MemoryShelf(ROOM, lambda: 0.0)
    for step in steps:
        raw = [(b"x-a", step.value), (b"x-b", step.value)]
        if step.action == "put":
            shelf.put(step.key, raw, answer(step.value * step.size, step.names, raw))
        elif step.action == "remove":
            shelf.remove(step.key)
        elif step.action == "purge":
            shelf.purge(step.key)
        found = shelf.get(step.key, raw)
        assert found is None or found.values == variant_of(found.names, raw)
        if step.action in ("remove", "purge"):
            assert found is None
        assert shelf.size <= ROOM
        assert shelf.size == sum(each.size for each in shelf._answers.values())
        assert {place[0] for place in shelf._answers if place[1]} == set(shelf._varying)
        assert all(each.variants for each in shelf._varying.values())


def test_what_was_used_the_longest_ago_makes_room() -> None:
    shelf = MemoryShelf(3 * OVERHEAD_BYTES + 100, lambda: 0.0)
    for key in "abc":
        shelf.put(key, [], answer(b""))
    shelf.get("a", [])
    shelf.put("d", [], answer(b""))

    assert [key for key in "abcd" if shelf.get(key, []) is not None] == ["a", "c", "d"]
    assert shelf.evicted == 1


def test_what_is_larger_than_all_of_it_is_not_kept_and_takes_no_room() -> None:
    shelf = MemoryShelf(2 * OVERHEAD_BYTES, lambda: 0.0)
    shelf.put("a", [], answer(b"old"))
    shelf.put("b", [], answer(b"x" * 4000, (b"x-a",)))
    shelf.put("a", [], answer(b"x" * 4000))

    assert (len(shelf), shelf.size, shelf._varying) == (0, 0, {})


def test_an_answer_is_taken_to_need_what_it_does() -> None:
    fields = [(b"content-type", b"text/html; charset=utf-8"), (b"x-long", b"v" * 500)] * 5
    one = Answer(200, fields, b"x" * 1000, TERMS, kept_at=0.0)
    needed = sum(map(sys.getsizeof, (one, fields, one.data, TERMS))) + sum(
        sys.getsizeof(pair) + sys.getsizeof(pair[0]) + sys.getsizeof(pair[1]) for pair in fields
    )

    assert needed <= one.size <= 2 * needed
