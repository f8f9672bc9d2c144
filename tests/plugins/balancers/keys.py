"""What the tests of balancers by key share: endpoints, requests of many keys, and whom they go to."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from meshwright_sdk import Endpoint
from meshwright_sdk.balancing import AnyBalancer
from meshwright_sdk.testing import make_endpoint, make_request

REQUESTS = [make_request(headers={"x-user": f"user-{number}"}) for number in range(1_000)]
WEIGHTS = st.lists(st.integers(1, 5), min_size=2, max_size=8)
SEEDS = st.integers(0, 250)
"""Of addresses, by `endpoints_of`."""


def endpoints_of(*weights: int, seed: int = 0) -> tuple[Endpoint, ...]:
    return tuple(
        make_endpoint(f"http://10.{seed}.0.{place}:80", weight=weight) for place, weight in enumerate(weights, 1)
    )


async def owners(balancer: AnyBalancer, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Return whom each of the requests goes to once the table is there."""
    balancer.pick(endpoints, REQUESTS[0])
    await balancer.context.tasks.close(grace_s=10)
    picked = [balancer.pick(endpoints, request) for request in REQUESTS]
    return [endpoint for endpoint in picked if endpoint is not None]


def moves(before: Sequence[Endpoint], after: Sequence[Endpoint]) -> list[tuple[Endpoint, Endpoint]]:
    """Return from where and to where each key went that did not stay."""
    return [(one, other) for one, other in zip(before, after, strict=True) if one is not other]
