from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator, Mapping, Sequence
from random import Random

import pytest

from meshwright_sdk import (
    Context,
    Endpoint,
    EndpointGroup,
    KeyedBalancer,
    KeyedOptions,
    Request,
    SideWork,
    hash_of,
    identities,
)
from meshwright_sdk.keyed import PAUSE_S
from meshwright_sdk.testing import ManualClock, build, make_endpoint, make_request

STEPS = 5


class Table:
    """The places divided by the endpoints in the order of their names."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = endpoints

    def owner(self, place: int) -> Endpoint:
        return self.endpoints[place % len(self.endpoints)]

    def others(self, place: int) -> Iterator[Endpoint]:
        return (self.endpoints[(place + step) % len(self.endpoints)] for step in range(1, len(self.endpoints)))


class Keyed(KeyedBalancer[KeyedOptions]):
    """Takes a few steps for each table, and counts them."""

    steps = 0

    def build(self, shares: Mapping[Endpoint, float]) -> Generator[None, None, Table]:
        for _ in range(STEPS):
            self.steps += 1
            yield
        return Table(list(identities(shares).values()))


def keyed(clock: ManualClock | None = None, side_work: SideWork | None = None) -> Keyed:
    return build(
        Keyed,
        key="header:x-user",
        context=Context(
            random=Random(0), clock=clock or ManualClock(), side_work=side_work or SideWork(ManualClock().monotonic)
        ),
    )


def endpoints_of(count: int, first: int = 1) -> tuple[Endpoint, ...]:
    return tuple(make_endpoint(f"http://10.0.0.{place}:80") for place in range(first, first + count))


def request_of(user: int) -> Request:
    return make_request(headers={"x-user": str(user)})


def picks(balancer: Keyed, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Return whom the requests of fifty users go to."""
    return [pick for user in range(50) if (pick := balancer.pick(endpoints, request_of(user))) is not None]


def shares_of(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Return whom they go to by the table of these endpoints."""
    return [endpoints[hash_of(str(user)) % len(endpoints)] for user in range(50)]


async def settled(balancer: Keyed) -> None:
    """Wait for the table that is being made."""
    await balancer.context.tasks.close(grace_s=10)


async def test_the_first_table_is_there_before_the_first_pick() -> None:
    balancer, endpoints = keyed(), endpoints_of(3)
    await balancer.warm_up(endpoints)

    assert picks(balancer, endpoints) == shares_of(endpoints)
    assert (balancer.steps, len(balancer.context.tasks)) == (STEPS, 0)


async def test_without_a_table_a_key_has_one_endpoint_and_each_endpoint_keys() -> None:
    balancer, endpoints = keyed(), endpoints_of(3)
    before = picks(balancer, endpoints)
    assert (picks(balancer, endpoints), set(before), balancer.steps) == (before, set(endpoints), 0)

    await settled(balancer)
    assert picks(balancer, endpoints) == shares_of(endpoints)


async def test_the_next_table_is_made_beside_the_one_in_use_a_step_in_a_turn_however_many_requests_come() -> None:
    clock = ManualClock()
    balancer, endpoints = keyed(clock), endpoints_of(4)
    await balancer.warm_up(endpoints[:3])
    await clock.advance(PAUSE_S)

    for turn in range(STEPS + 3):
        assert picks(balancer, endpoints) == shares_of(endpoints[:3])
        assert balancer.steps == STEPS + min(max(0, turn - 1), STEPS)  # it begins in the turn after its task
        await asyncio.sleep(0)
    assert picks(balancer, endpoints) == shares_of(endpoints)
    await settled(balancer)
    assert balancer.steps == 2 * STEPS


async def test_however_many_tables_are_due_a_turn_has_one_step() -> None:
    side_work, endpoints = SideWork(ManualClock().monotonic), endpoints_of(3)
    balancers = [keyed(side_work=side_work) for _ in range(4)]
    for balancer in balancers:
        balancer.pick(endpoints, request_of(1))
    done = 0
    while done < 4 * STEPS:
        await asyncio.sleep(0)
        before, done = done, sum(balancer.steps for balancer in balancers)
        assert done - before <= 1
        assert max(balancer.steps for balancer in balancers) - min(balancer.steps for balancer in balancers) <= 1


async def test_while_a_table_is_made_nobody_who_is_out_is_picked_however_often_the_list_changes() -> None:
    clock = ManualClock()
    balancer, group = keyed(clock), EndpointGroup(endpoints_of(6))
    await balancer.warm_up(group.usable)
    await clock.advance(PAUSE_S)
    group.scale(group.all[0], "test", 0.5)
    for turn in range(3 * STEPS):
        out, back = group.all[turn % 6], group.all[(turn + 4) % 6]
        group.eject(out, "test", "its turn")
        group.restore(back, "test")
        group.scale(back, "test", 1.0 / (turn + 2))
        assert set(picks(balancer, group.usable)) <= set(group.usable)
        await asyncio.sleep(0)
        assert out not in picks(balancer, group.usable)
    for endpoint in group.all:
        group.restore(endpoint, "test")
    await clock.advance(PAUSE_S)
    picks(balancer, group.usable)
    await settled(balancer)

    assert picks(balancer, group.usable) == shares_of(group.all)


async def test_who_is_out_when_the_first_table_comes_late_is_not_picked() -> None:
    balancer, group = keyed(), EndpointGroup(endpoints_of(3))
    picks(balancer, group.usable)
    await asyncio.sleep(0)
    group.eject(group.all[0], "test", "a reason")
    assert set(picks(balancer, group.usable)) == set(group.usable)
    await settled(balancer)

    assert set(picks(balancer, group.usable)) == set(group.usable)
    group.restore(group.all[0], "test")
    assert picks(balancer, group.usable) == shares_of(group.all)


async def test_a_table_of_a_list_that_has_become_another_one_meanwhile_is_not_used() -> None:
    balancer, before, after = keyed(), endpoints_of(2), endpoints_of(3, first=7)
    picks(balancer, before)
    await asyncio.sleep(0)
    for endpoint in before:
        balancer.removed(endpoint)
    for _ in range(STEPS + 3):
        assert set(picks(balancer, after)) == set(after)
        await asyncio.sleep(0)
    await settled(balancer)

    assert picks(balancer, after) == shares_of(after)
    assert balancer.steps == 2 * STEPS


async def test_weights_that_change_all_the_time_have_a_table_made_now_and_then() -> None:
    clock = ManualClock()
    balancer, endpoints = keyed(clock), endpoints_of(3)
    for number in range(1000):
        endpoints[0].weight = 1 + number % 7
        balancer.pick(list(endpoints), request_of(number))
        await clock.advance(0.01)

    assert 5 * STEPS < balancer.steps <= 11 * STEPS  # 10 s


async def test_of_a_list_that_the_table_knows_little_of_everyone_gets_keys_and_a_table_is_made_at_once() -> None:
    balancer, before, after = keyed(), endpoints_of(2), endpoints_of(3, first=7)
    await balancer.warm_up(before)
    together = (*before[:1], *after)

    assert set(picks(balancer, together)) == set(together)
    await settled(balancer)
    assert balancer.steps == 2 * STEPS


async def test_a_table_that_cannot_be_made_leaves_the_one_before_and_is_tried_again_after_a_pause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Keyed):
        def build(self, shares: Mapping[Endpoint, float]) -> Generator[None, None, Table]:
            if len(shares) == 3:
                raise ZeroDivisionError("no table of three")
            return (yield from super().build(shares))

    clock = ManualClock()
    balancer, endpoints = build(Failing, key="header:x-user", clock=clock), endpoints_of(3)
    await balancer.warm_up(endpoints[:2])
    for _ in range(3):
        await clock.advance(PAUSE_S)
        for _ in range(5):
            assert picks(balancer, endpoints) == shares_of(endpoints[:2])
            await settled(balancer)

    assert caplog.text.count("table of every route failed") == 3


async def test_no_table_is_made_after_close() -> None:
    balancer, endpoints = keyed(), endpoints_of(3)
    picks(balancer, endpoints)
    await asyncio.sleep(0)
    await balancer.close()
    await balancer.context.tasks.close()
    made = balancer.steps
    await asyncio.sleep(0)

    assert (len(balancer.context.tasks), made) == (0, balancer.steps)
    assert made < STEPS


async def test_an_endpoint_that_loses_its_weight_gets_nothing_from_then_on() -> None:
    balancer, endpoints = keyed(), endpoints_of(3)
    await balancer.warm_up(endpoints)
    endpoints[1].weight = 0

    assert set(picks(balancer, list(endpoints))) == {endpoints[0], endpoints[2]}


async def test_an_endpoint_that_is_out_keeps_its_place_and_one_that_is_gone_does_not() -> None:
    clock = ManualClock()
    balancer, endpoints = keyed(clock), endpoints_of(3)
    await balancer.warm_up(endpoints)
    before = picks(balancer, endpoints)
    await clock.advance(PAUSE_S)
    assert set(picks(balancer, endpoints[:2])) == set(endpoints[:2])
    await settled(balancer)
    assert balancer.steps == STEPS
    assert picks(balancer, endpoints) == before

    balancer.removed(endpoints[2])
    picks(balancer, endpoints[:2])
    await settled(balancer)
    assert picks(balancer, endpoints[:2]) == shares_of(endpoints[:2])
    assert balancer.steps == 2 * STEPS


async def test_when_nobody_of_the_table_is_there_the_others_share_its_keys() -> None:
    balancer, endpoints = keyed(), endpoints_of(3)
    endpoints[1].weight = endpoints[2].weight = 0
    await balancer.warm_up(endpoints)
    assert set(picks(balancer, endpoints)) == {endpoints[0]}
    retry = request_of(3)
    retry.avoid = endpoints[:1]

    assert {balancer.pick(endpoints[1:], retry) for _ in range(50)} < set(endpoints[1:])
    assert set(picks(balancer, endpoints[1:])) == set(endpoints[1:])


async def test_a_place_that_the_table_leads_nowhere_from_is_not_followed_for_long() -> None:
    followed: list[int] = []

    class Lopsided(Table):
        def owner(self, place: int) -> Endpoint:
            return self.endpoints[0]

        def others(self, place: int) -> Iterator[Endpoint]:
            for step in range(100_000):
                followed.append(step)
                yield self.endpoints[0]

    class Skewed(Keyed):
        def build(self, shares: Mapping[Endpoint, float]) -> Generator[None, None, Table]:
            yield
            return Lopsided(list(shares))

    balancer, endpoints = build(Skewed, key="header:x-user"), endpoints_of(3)
    await balancer.warm_up(endpoints)

    assert set(picks(balancer, endpoints[1:])) == set(endpoints[1:])
    assert 0 < len(followed) <= 50 * 1_000


async def test_the_part_that_a_retry_passes_is_no_new_list() -> None:
    balancer, endpoints = keyed(), endpoints_of(3)
    await balancer.warm_up(endpoints[:2])
    retry = request_of(3)
    retry.avoid = endpoints[:2]
    assert balancer.pick([endpoints[2]], retry) is endpoints[2]
    retry.avoid = endpoints[:1]
    for user in range(20):
        assert balancer.pick([endpoints[1]], retry) is endpoints[1]
        balancer.pick(endpoints[:2], request_of(user))
    await settled(balancer)

    assert balancer.steps == STEPS
    assert balancer.pick([], retry) is None


def test_endpoints_of_one_url_have_names_of_their_own() -> None:
    one, other = make_endpoint("http://10.0.0.1:80"), make_endpoint("http://10.0.0.1:80")

    assert identities([one, other]) == {"http://10.0.0.1:80": one, "http://10.0.0.1:80#2": other}
