from __future__ import annotations

import asyncio

import pytest

from meshwright.traffic.counts import CountsOfRoutes, RouteCounts, Users, Visit
from meshwright_sdk import Metrics
from tests.core.http1.wire import turns


def visit(counts: RouteCounts, users: Users, status: int) -> None:
    stay = Visit(counts, users)
    stay.status = status
    stay(None)


def classes(counts: RouteCounts) -> list[float]:
    return [counter.value for counter in counts.classes]


@pytest.mark.parametrize(
    ("status", "place"), [(101, 0), (200, 1), (304, 2), (404, 3), (499, 3), (500, 4), (600, 4), (999, 4)]
)
def test_an_answer_is_counted_in_its_class(status: int, place: int) -> None:
    counts, users = RouteCounts(Metrics(), "a"), Users()
    visit(counts, users, status)
    assert classes(counts) == [float(index == place) for index in range(5)]
    assert sum(counts.seconds.counts) == 1
    assert users.count == 0


def test_a_request_is_in_flight_until_its_response_has_ended() -> None:
    counts, users = RouteCounts(Metrics(), "a"), Users()
    first, second = Visit(counts, users), Visit(counts, users)
    assert (counts.in_flight.value, users.count) == (2, 2)
    first(None)
    second(RuntimeError("cut off"))
    assert (counts.in_flight.value, users.count) == (0, 0)


def test_routes_of_one_name_share_their_counts_and_others_do_not() -> None:
    counts = CountsOfRoutes(Metrics())
    kept = counts.of("a")
    for _ in range(2):
        visit(counts.of("a"), Users(), 200)
    assert classes(kept)[1] == 2
    assert classes(counts.of("b"))[1] == 0


def test_the_last_one_takes_its_metrics_along() -> None:
    metrics = Metrics()
    counts = CountsOfRoutes(metrics)
    first, second = counts.of("a"), counts.of("a")
    other = counts.of("b")
    visit(first, Users(), 200)
    del first
    assert classes(second)[1] == 1
    assert {dict(labels)["route"] for labels in metrics.families["meshwright_requests_total"].metrics} == {"a", "b"}

    del second
    for family in metrics.families.values():
        assert {dict(labels)["route"] for labels in family.metrics} == {"b"}
    assert classes(counts.of("a"))[1] == 0
    assert classes(other)[1] == 0


async def test_whoever_waits_for_the_users_to_go_wakes_after_the_last() -> None:
    users = Users()
    await users.gone()

    users.count = 2
    waiting = asyncio.gather(users.gone())
    await turns()
    users.leave()
    await turns()
    assert not waiting.done()
    users.leave()
    await asyncio.wait_for(waiting, 5)
