from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence

from meshwright_sdk import Endpoint, KeyedBalancer, KeyedOptions, Request, hash_of, identities
from meshwright_sdk.keyed import PAUSE_S
from meshwright_sdk.testing import ManualClock, build, make_endpoint, make_request

SLICES = 5


class Table:
    """The places divided by the endpoints in the order of their names."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = endpoints

    def owner(self, place: int) -> Endpoint:
        return self.endpoints[place % len(self.endpoints)]

    def others(self, place: int) -> Iterator[Endpoint]:
        return (self.endpoints[(place + step) % len(self.endpoints)] for step in range(1, len(self.endpoints)))


class Keyed(KeyedBalancer[KeyedOptions]):
    """Takes a few slices for each table, and counts them."""

    slices = 0

    def build(self, shares: Mapping[Endpoint, float]) -> Generator[None, None, Table]:
        for _ in range(SLICES):
            self.slices += 1
            yield
        return Table(list(identities(shares).values()))


def keyed(clock: ManualClock | None = None) -> Keyed:
    return build(Keyed, key="header:x-user", clock=clock)


def endpoints_of(count: int, first: int = 1) -> tuple[Endpoint, ...]:
    return tuple(make_endpoint(f"http://10.0.0.{place}:80") for place in range(first, first + count))


def request_of(user: int) -> Request:
    return make_request(headers={"x-user": str(user)})


def owners(balancer: Keyed, endpoints: Sequence[Endpoint]) -> set[Endpoint | None]:
    return {balancer.pick(endpoints, request_of(user)) for user in range(50)}


def test_the_first_table_is_built_in_one_go() -> None:
    balancer, endpoints = keyed(), endpoints_of(3)
    picks = {balancer.pick(endpoints, request_of(7)) for _ in range(20)}

    assert picks == {endpoints[hash_of("7") % 3]}
    assert balancer.slices == SLICES


async def test_the_next_table_is_built_a_slice_a_pick_and_an_endpoint_that_comes_gets_nothing_before() -> None:
    clock = ManualClock()
    balancer, endpoints = keyed(clock), endpoints_of(4)
    balancer.pick(endpoints[:3], request_of(1))
    await clock.advance(PAUSE_S)

    picked = [balancer.pick(endpoints, request_of(user)) for user in range(SLICES)]
    assert (balancer.slices, endpoints[3] in picked) == (2 * SLICES, False)
    assert endpoints[3] in owners(balancer, endpoints)
    assert balancer.slices == 2 * SLICES


async def test_weights_that_change_all_the_time_have_a_table_built_now_and_then() -> None:
    clock = ManualClock()
    balancer, endpoints = keyed(clock), endpoints_of(3)
    for number in range(1000):
        endpoints[0].weight = 1 + number % 7
        balancer.pick(list(endpoints), request_of(number))
        await clock.advance(0.01)

    assert 5 * SLICES < balancer.slices <= 11 * SLICES  # 10 s


def test_a_list_that_the_table_knows_little_of_has_another_one_built_at_once() -> None:
    balancer, before, after = keyed(), endpoints_of(2), endpoints_of(3, first=7)
    owners(balancer, before)

    assert owners(balancer, after) == set(after)
    assert balancer.slices == 2 * SLICES


def test_an_endpoint_that_loses_its_weight_gets_nothing_from_then_on() -> None:
    balancer, endpoints = keyed(ManualClock()), endpoints_of(3)
    owners(balancer, endpoints)
    endpoints[1].weight = 0

    assert owners(balancer, list(endpoints)) == {endpoints[0], endpoints[2]}


async def test_an_endpoint_that_is_out_keeps_its_place_and_one_that_is_gone_does_not() -> None:
    clock = ManualClock()
    balancer, endpoints = keyed(clock), endpoints_of(3)
    before = [balancer.pick(endpoints, request_of(user)) for user in range(50)]
    await clock.advance(PAUSE_S)
    assert owners(balancer, endpoints[:2]) == set(endpoints[:2])
    assert balancer.slices == SLICES
    assert [balancer.pick(endpoints, request_of(user)) for user in range(50)] == before

    balancer.removed(endpoints[2])
    owners(balancer, endpoints[:2])
    assert balancer.slices == 2 * SLICES


def test_when_nobody_of_the_table_is_there_the_others_share_its_keys() -> None:
    balancer, endpoints = keyed(ManualClock()), endpoints_of(3)
    endpoints[1].weight = endpoints[2].weight = 0
    assert owners(balancer, endpoints) == {endpoints[0]}

    assert owners(balancer, endpoints[1:]) == set(endpoints[1:])


def test_a_place_that_the_table_leads_nowhere_from_is_not_followed_for_long() -> None:
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
    balancer.pick(endpoints, request_of(1))

    assert owners(balancer, endpoints[1:]) == set(endpoints[1:])
    assert len(followed) <= 50 * 1_000


def test_a_retry_has_no_table_built_in_one_go() -> None:
    balancer, endpoints = keyed(ManualClock()), endpoints_of(3)
    owners(balancer, endpoints[:2])
    owners(balancer, endpoints)
    retry = request_of(3)
    retry.avoid = endpoints[:2]

    assert balancer.pick([endpoints[2]], retry) is endpoints[2]
    assert balancer.slices == SLICES


def test_the_part_that_a_retry_passes_is_no_new_list() -> None:
    balancer, endpoints = keyed(), endpoints_of(3)
    owners(balancer, endpoints)
    retry = request_of(3)
    retry.avoid = endpoints[:1]
    for user in range(20):
        assert balancer.pick(list(endpoints[1:]), retry) in endpoints[1:]
        balancer.pick(endpoints, request_of(user))

    assert balancer.slices == SLICES
    assert balancer.pick([], retry) is None


def test_endpoints_of_one_url_have_names_of_their_own() -> None:
    one, other = make_endpoint("http://10.0.0.1:80"), make_endpoint("http://10.0.0.1:80")

    assert identities([one, other]) == {"http://10.0.0.1:80": one, "http://10.0.0.1:80#2": other}
