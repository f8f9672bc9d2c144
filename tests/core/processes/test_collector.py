from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from meshwright.processes.collector import RELOADS_UNSEEN, YOUNG_OBJECTS, Collector


class Node:
    def __init__(self) -> None:
        self.itself = self


def test_what_a_reload_makes_is_never_looked_at() -> None:
    collector = Collector()
    with collector.away():
        made = Node()
        assert not gc.isenabled()
        with collector.away():
            pass
        assert not gc.isenabled()

    assert gc.isenabled()
    assert not any(each is made for each in gc.get_objects())


def test_what_was_garbage_before_a_reload_is_not_kept_with_it() -> None:
    collector = Collector()
    garbage = weakref.ref(Node())
    with collector.away():
        assert garbage() is None


def test_it_stays_off_where_it_was_off() -> None:
    gc.disable()
    try:
        with Collector().away():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_cycles_of_many_reloads_do_not_pile_up() -> None:
    collector = Collector()
    cycles = []
    for _ in range(2 * RELOADS_UNSEEN + 2):
        with collector.away():
            cycles.append(weakref.ref(Node()))

    assert sum(cycle() is not None for cycle in cycles) <= RELOADS_UNSEEN + 1


@pytest.fixture
def threshold() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("threshold")
def test_what_a_few_requests_have_in_use_is_not_looked_at() -> None:
    Collector().settle_in()
    gc.collect()
    garbage = weakref.ref(Node())
    in_use = [Node() for _ in range(YOUNG_OBJECTS // 4)]

    assert garbage() is not None
    assert in_use


@pytest.mark.usefixtures("threshold")
def test_cycles_without_end_are_found_all_the_same() -> None:
    Collector().settle_in()
    garbage = weakref.ref(Node())
    for _ in range(YOUNG_OBJECTS + 1):
        Node()

    assert garbage() is None
