"""`check_balancer`: what every balancer has to hold to, whatever its idea of a good choice."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import islice

from meshwright_sdk.balancing import AnyBalancer, Endpoint
from meshwright_sdk.request import Request
from meshwright_sdk.testing.checks.claims import calling, claim, running
from meshwright_sdk.testing.messages import make_endpoint, make_request

_PICKS = 60


async def check_balancer(balancer: AnyBalancer) -> None:
    """Run `balancer` through its contract; raises AssertionError that says what to mend.

    It is started and closed. What it prefers is its own: no shares are checked.
    """
    async with running(balancer):
        _picks_nothing_of_nothing(balancer)
        for count in (1, 2, 3, 10):
            _picks_one_of_the_list(balancer, [_endpoint(number) for number in range(count)])
            _picks_one_of_the_list(balancer, tuple(_endpoint(number) for number in range(count)))
        _follows_a_new_list(balancer)
        _survives_the_part_that_a_retry_passes(balancer)
        _keeps_to_weights(balancer)
        _copes_with_load(balancer)
        _picks_nothing_of_nothing(balancer)


def _endpoint(number: int, weight: int = 1) -> Endpoint:
    return make_endpoint(f"http://10.0.{number // 250}.{number % 250 + 1}:8000", weight=weight, zone="ab"[number % 2])


def _requests() -> Sequence[Request]:
    return [
        make_request(
            url=f"http://gateway.test/item/{number}",
            headers={"x-user": str(number), "cookie": f"session={number}"},
            client=f"192.0.2.{number + 1}",
        )
        for number in range(_PICKS)
    ]


def _picks(balancer: AnyBalancer, endpoints: Sequence[Endpoint], count: int = _PICKS) -> list[Endpoint]:
    """Return picks for different requests, each claimed to be one of `endpoints`, which are left as they are."""
    where = f"pick of {len(endpoints)} endpoints"
    picks = []
    before = list(endpoints)
    for request in islice(_requests(), count):
        pick = _pick(balancer, endpoints, request, where, "one of them")
        claim(where, list(endpoints) == before, "the sequence to be left as it is", "another order or other members")
        claim(where, pick is not None, "one of them, as all of them are idle and there is a weight", "None")
        claim(
            where,
            any(pick is endpoint for endpoint in endpoints),
            "one of the objects in the sequence it was given, and no other",
            repr(pick),
        )
        assert pick is not None
        picks.append(pick)
    return picks


def _pick(
    balancer: AnyBalancer, endpoints: Sequence[Endpoint], request: Request, where: str, expected: str
) -> Endpoint | None:
    with calling(where, expected):
        pick = balancer.pick(endpoints, request)
    if inspect.iscoroutine(pick):
        pick.close()
        claim(where, False, f"{expected} at once (pick is no `async def`: it never waits)", "a coroutine")
    return pick


def _picks_nothing_of_nothing(balancer: AnyBalancer) -> None:
    nothing: tuple[Sequence[Endpoint], ...] = ([], ())
    for empty in nothing:
        pick = _pick(balancer, empty, make_request(), "pick([])", "None")
        claim("pick([])", pick is None, "None, as a service may have no endpoint for a while", repr(pick))


def _picks_one_of_the_list(balancer: AnyBalancer, endpoints: Sequence[Endpoint]) -> None:
    counts = [(each.in_flight, each.requests, each.weight) for each in endpoints]
    _picks(balancer, endpoints)
    claim(
        "pick",
        [(each.in_flight, each.requests, each.weight) for each in endpoints] == counts,
        "in_flight, requests and weight to be left as they are (the service counts, a balancer only reads)",
        "other values",
    )


def _follows_a_new_list(balancer: AnyBalancer) -> None:
    before, after = [_endpoint(number) for number in range(3)], [_endpoint(number) for number in range(3, 6)]
    for endpoints in (before, after, before[:1], after):
        _picks(balancer, endpoints)


def _survives_the_part_that_a_retry_passes(balancer: AnyBalancer) -> None:
    endpoints = [_endpoint(number) for number in range(4)]
    for place in range(len(endpoints)):
        _picks(balancer, endpoints, 3)
        _picks(balancer, endpoints[:place] + endpoints[place + 1 :], 1)


def _keeps_to_weights(balancer: AnyBalancer) -> None:
    endpoints = [_endpoint(0, weight=1), _endpoint(1, weight=0), _endpoint(2, weight=70_000)]
    got_some = any(pick.weight == 0 for pick in _picks(balancer, endpoints))
    claim("pick", not got_some, "nothing for an endpoint of weight 0 while another has more", "a pick of it")
    endpoints[0].weight, endpoints[1].weight = 0, 1
    changed = list(endpoints)
    got_some = any(pick.weight == 0 for pick in _picks(balancer, changed))
    claim("pick", not got_some, "the weights of now with a new sequence, as weights change at run time", "those before")
    _picks(balancer, [_endpoint(0, weight=0), _endpoint(1, weight=0)])


def _copes_with_load(balancer: AnyBalancer) -> None:
    endpoints = [_endpoint(number, weight=number % 3) for number in range(20)]
    for round_ in range(3):
        for number, endpoint in enumerate(endpoints):
            endpoint.in_flight = (number * 7 + round_) % 5
        _picks(balancer, endpoints)
