"""`check_balancer`: what every balancer has to hold to, whatever its idea of a good choice."""

from __future__ import annotations

import asyncio
import inspect
from asyncio import CancelledError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from meshwright_sdk.attempt import Attempt
from meshwright_sdk.balancing import AnyBalancer, Endpoint
from meshwright_sdk.endpoint_group import EndpointGroup
from meshwright_sdk.errors import ConnectError, UpstreamTimeoutError
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.testing.checks.claims import PATIENCE_S, calling, claim, running
from meshwright_sdk.testing.messages import make_endpoint, make_request

_PICKS = 60
_ENDS: Sequence[int | BaseException] = (
    200,
    503,
    ConnectError("refused"),
    UpstreamTimeoutError("late"),
    CancelledError(),
)


async def check_balancer(balancer: AnyBalancer) -> None:
    """Run `balancer` through its contract; raises AssertionError that says what to mend.

    It is started and closed. What it prefers is its own: no shares are checked.
    """
    async with running(balancer):
        _picks_nothing_of_nothing(balancer)
        await _warms_up(balancer)
        await _picks_while_it_computes(balancer)
        for count in (1, 2, 3, 10):
            with _service_of(balancer, [_endpoint(number) for number in range(count)]) as group:
                _picks_one_of_the_list(balancer, list(group.all))
                _picks_one_of_the_list(balancer, group.usable)
        _follows_a_new_list(balancer)
        _survives_the_part_that_a_retry_passes(balancer)
        _keeps_to_weights(balancer)
        _keeps_to_what_policies_say(balancer)
        _copes_with_load(balancer)
        _hears_of_every_end(balancer)
        _picks_nothing_of_nothing(balancer)


def _endpoint(number: int, weight: int = 1) -> Endpoint:
    return make_endpoint(f"http://10.0.{number // 250}.{number % 250 + 1}:8000", weight=weight, zone="ab"[number % 2])


@contextmanager
def _service_of(balancer: AnyBalancer, endpoints: Sequence[Endpoint]) -> Iterator[EndpointGroup]:
    """Tell the balancer of these endpoints, and when the check is over that they have gone, as a service does."""
    for endpoint in endpoints:
        with calling("added", "it to return"):
            balancer.added(endpoint)
    yield EndpointGroup(endpoints)
    for endpoint in endpoints:
        with calling("removed", "it to return"):
            balancer.removed(endpoint)


def _requests() -> Sequence[Request]:
    return [
        make_request(
            url=f"http://gateway.test/item/{number}",
            headers={"x-user": str(number), "cookie": f"session={number}"},
            client=f"192.0.2.{number + 1}",
        )
        for number in range(_PICKS)
    ]


def _picks(
    balancer: AnyBalancer, endpoints: Sequence[Endpoint], count: int = _PICKS, avoid: tuple[Endpoint, ...] = ()
) -> list[Endpoint]:
    """Return picks for different requests, each claimed to be one of `endpoints`, which are left as they are."""
    where = f"pick of {len(endpoints)} endpoints"
    picks = []
    before = list(endpoints)
    for request in islice(_requests(), count):
        request.avoid = avoid
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


async def _warms_up(balancer: AnyBalancer) -> None:
    """Let it get ready for one list, and pick from another one that is there by then."""
    for weights in ((1,), (1, 2, 0, 4), (0, 0)):
        endpoints = [_endpoint(number, weight) for number, weight in enumerate(weights)]
        with _service_of(balancer, endpoints) as group:
            with calling("warm_up", "it to return"):
                async with asyncio.timeout(PATIENCE_S):
                    await balancer.warm_up(group.usable)
            _picks(balancer, group.usable)
        with _service_of(balancer, [_endpoint(9)]) as other:
            _picks(balancer, other.usable, 3)


async def _picks_while_it_computes(balancer: AnyBalancer) -> None:
    """Change the list again and again, so that what it computes beside its picks is for another one."""
    with _service_of(balancer, [_endpoint(number) for number in range(6)]) as group:
        for turn in range(40):
            group.eject(group.all[turn % 6], "check", "it is the turn of this one")
            group.restore(group.all[(turn + 4) % 6], "check")
            group.scale(group.all[turn % 5], "check", 1 / (turn + 1))
            for _ in range(turn % 4):
                _picks(balancer, group.usable, 2)
                await asyncio.sleep(0)


def _follows_a_new_list(balancer: AnyBalancer) -> None:
    before, after = [_endpoint(number) for number in range(3)], [_endpoint(number) for number in range(3, 6)]
    with _service_of(balancer, before), _service_of(balancer, after):
        for endpoints in (before, after, before[:1], after):
            _picks(balancer, endpoints)


def _survives_the_part_that_a_retry_passes(balancer: AnyBalancer) -> None:
    with _service_of(balancer, [_endpoint(number) for number in range(4)]) as group:
        for avoided in group.all:
            _picks(balancer, group.usable, 3)
            rest = [endpoint for endpoint in group.usable if endpoint is not avoided]
            _picks(balancer, rest, 3, avoid=(avoided,))
            _picks(balancer, rest, 1)
        _picks(balancer, group.usable, 3, avoid=group.all)


def _keeps_to_weights(balancer: AnyBalancer) -> None:
    endpoints = [_endpoint(0, weight=1), _endpoint(1, weight=0), _endpoint(2, weight=70_000)]
    with _service_of(balancer, endpoints):
        got_some = any(pick.weight == 0 for pick in _picks(balancer, endpoints))
        claim("pick", not got_some, "nothing for an endpoint of weight 0 while another has more", "a pick of it")
        endpoints[0].weight, endpoints[1].weight = 0, 1
        changed = list(endpoints)
        got_some = any(pick.weight == 0 for pick in _picks(balancer, changed))
        expected = "the weights of now with a new sequence, as weights change at run time"
        claim("pick", not got_some, expected, "those before")
    nothing = [_endpoint(0, weight=0), _endpoint(1, weight=0)]
    with _service_of(balancer, nothing):
        _picks(balancer, nothing)


def _keeps_to_what_policies_say(balancer: AnyBalancer) -> None:
    with _service_of(balancer, [_endpoint(number, weight=number) for number in range(4)]) as group:
        for factor in (0.5, 0.0, 1.7, 1.0):
            group.scale(group.all[1], "check", factor)
            got_some = any(pick.weight == 0 for pick in _picks(balancer, group.usable, 10))
            claim("pick", not got_some, "nothing for an endpoint of weight 0 while a policy scales another", "a pick")
        for endpoint in group.all:
            group.eject(endpoint, "check", "it is the turn of this one")
            _picks(balancer, group.usable, 10)
        for endpoint in group.all:
            group.restore(endpoint, "check")
            _picks(balancer, group.usable, 10)


def _copes_with_load(balancer: AnyBalancer) -> None:
    with _service_of(balancer, [_endpoint(number, weight=number % 3) for number in range(20)]) as group:
        for round_ in range(3):
            for number, endpoint in enumerate(group.all):
                endpoint.in_flight = (number * 7 + round_) % 5
            _picks(balancer, group.usable)


def _hears_of_every_end(balancer: AnyBalancer) -> None:
    """Tell of attempts that end in every way, also at an endpoint that has gone meanwhile."""
    with _service_of(balancer, [_endpoint(number) for number in range(3)]) as group:
        attempts = [_attempt(balancer, group, end) for end in _ENDS]
        with _service_of(balancer, [_endpoint(9)]) as other:
            attempts += [_attempt(balancer, other, end) for end in _ENDS]
        for attempt in attempts:
            with calling("ended", "it to return"):
                balancer.ended(attempt)
            _picks(balancer, group.usable, 3)


def _attempt(balancer: AnyBalancer, group: EndpointGroup, end: int | BaseException) -> Attempt:
    """Return an attempt that has begun, and what became of it."""
    (endpoint,) = _picks(balancer, group.usable, 1)
    attempt = Attempt(endpoint, make_request(), balancer.context.clock.monotonic())
    with calling("began", "it to return"):
        balancer.began(attempt)
    attempt.seconds = 0.01
    if isinstance(end, int):
        attempt.response = Response(end)
    else:
        attempt.error = end
    return attempt
