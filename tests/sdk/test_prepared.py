from __future__ import annotations

from collections.abc import Sequence

from meshwright_sdk import Endpoint, NoOptions, PreparedBalancer, Request
from meshwright_sdk.testing import build, make_endpoint, make_request


class First(PreparedBalancer[NoOptions, Endpoint]):
    """Takes the first, and counts the lists that it has looked at."""

    lists = 0

    def prepare(self, endpoints: Sequence[Endpoint]) -> Endpoint:
        self.lists += 1
        return endpoints[0]

    def choose(self, prepared: Endpoint, request: Request) -> Endpoint | None:
        return prepared


def test_a_list_is_looked_at_once() -> None:
    balancer, endpoints = build(First), (make_endpoint(), make_endpoint())

    assert [balancer.pick(endpoints, make_request()) for _ in range(3)] == [endpoints[0]] * 3
    assert balancer.lists == 1


def test_a_new_list_takes_the_place_of_the_one_before() -> None:
    balancer, before, after = build(First), (make_endpoint(),), (make_endpoint(),)

    assert [balancer.pick(each, make_request()) for each in (before, after, after, ())] == [
        *before,
        *after,
        *after,
        None,
    ]
    assert balancer.lists == 2


def test_the_part_that_a_retry_passes_leaves_what_was_prepared_in_place() -> None:
    balancer, endpoints = build(First), (make_endpoint(), make_endpoint())
    first, second = endpoints
    retry = make_request()
    retry.avoid = (first,)
    for _ in range(3):
        assert balancer.pick(endpoints, make_request()) is first
        assert balancer.pick([second], retry) is second

    assert balancer.lists == 1 + 3
