"""What both policies that judge by requests do for real clients; what sets one apart is in its own tests."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from tests.plugins.policies.backends import three_backends

AT_ONCE = 4


@pytest.mark.parametrize(
    ("policy", "trial_every_s"),
    [
        ("outlier: {consecutive_gateway_errors: 3, base_ejection: 1m}", inf),
        ("endpoint_breaker: {consecutive_failures: 3, open_for: 300ms, trials: 1}", 0.3),
    ],
)
async def test_with_retries_a_dead_endpoint_among_three_costs_nobody_anything(
    policy: str, trial_every_s: float
) -> None:
    async with three_backends(policy, filters="retry") as (backends, clients):
        await backends[1].haunt()
        began = asyncio.get_running_loop().time()
        statuses = await clients.ask(600, at_once=AT_ONCE)
        trials = int((asyncio.get_running_loop().time() - began) / trial_every_s)

    assert statuses == {200: 600}
    assert 3 <= backends[1].requests <= 3 + AT_ONCE - 1 + trials  # 3 were on their way when it was found out
    assert backends[0].requests + backends[2].requests == 600
