from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from math import sqrt
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meshwright_plugins.balancers.peak_ewma import PeakEwma
from meshwright_sdk import Attempt, ConnectError, Endpoint, Response
from meshwright_sdk.testing import ManualClock, build, check_balancer, make_endpoint, make_request


def endpoints_of(*weights: int) -> tuple[Endpoint, ...]:
    return tuple(make_endpoint(f"http://10.0.0.{place}:80", weight=weight) for place, weight in enumerate(weights, 1))


def end(
    balancer: PeakEwma, endpoint: Endpoint, seconds: float, status: int = 200, error: BaseException | None = None
) -> None:
    attempt = Attempt(endpoint, make_request(), 0.0)
    attempt.seconds, attempt.error = seconds, error
    attempt.response = None if error else Response(status)
    balancer.ended(attempt)


def picks(balancer: PeakEwma, endpoints: Sequence[Endpoint], count: int = 400) -> Counter[Endpoint | None]:
    return Counter(balancer.pick(endpoints, make_request()) for _ in range(count))


def told(balancer: PeakEwma, endpoint: Endpoint) -> float:
    latency: float = balancer.state()["latency_ms"][endpoint.url]
    return latency


def followed(clock: ManualClock, *weights: int, **options: Any) -> tuple[PeakEwma, tuple[Endpoint, ...]]:
    balancer, endpoints = build(PeakEwma, clock=clock, **options), endpoints_of(*weights)
    balancer.pick(endpoints, make_request())
    return balancer, endpoints


def test_of_two_the_sooner_answering_is_taken() -> None:
    balancer, (slow, quick) = followed(ManualClock(), 1, 1)
    end(balancer, slow, 0.050)
    end(balancer, quick, 0.049)

    assert set(picks(balancer, (slow, quick))) == {quick}


def test_requests_in_flight_weigh_against_latency() -> None:
    balancer, endpoints = followed(ManualClock(), 1, 1)
    slow, quick = endpoints
    end(balancer, slow, 0.100)
    end(balancer, quick, 0.010)
    quick.in_flight = 8
    assert set(picks(balancer, endpoints)) == {quick}

    quick.in_flight = 10
    assert set(picks(balancer, endpoints)) == {slow}


def test_requests_in_flight_count_by_weight() -> None:
    balancer, (light, heavy) = followed(ManualClock(), 1, 9)
    light.in_flight, heavy.in_flight = 2, 17

    assert set(picks(balancer, (light, heavy))) == {heavy}


def test_a_peak_counts_at_once_and_a_recovery_has_to_prove_itself() -> None:
    balancer, (endpoint,) = followed(ManualClock(), 1)
    end(balancer, endpoint, 0.010)
    end(balancer, endpoint, 2.0)
    assert told(balancer, endpoint) == 2000.0

    end(balancer, endpoint, 0.010)
    assert told(balancer, endpoint) == 2000.0


async def test_better_answers_count_the_more_the_longer_the_last_one_is_ago() -> None:
    clock = ManualClock()
    balancer, (endpoint,) = followed(clock, 1, decay="10s")
    end(balancer, endpoint, 1.0)
    await clock.advance(10.0)
    assert told(balancer, endpoint) == 367.879

    end(balancer, endpoint, 0.1)
    assert told(balancer, endpoint) == 431.091  # 1000 / e + 100 (1 - 1/e)


async def test_a_slow_endpoint_is_tried_again_when_its_latency_has_faded() -> None:
    clock = ManualClock()
    balancer, (slow, quick) = followed(clock, 1, 1)
    end(balancer, slow, 2.0)
    for _ in range(60):
        end(balancer, quick, 0.010)
        if slow in picks(balancer, (slow, quick), 10):
            break
        await clock.advance(1.0)

    assert 50 < clock.monotonic() - 1_000.0 < 56  # 2 s have faded to 10 ms after 10 s x ln(200) = 53 s


def test_failing_fast_attracts_nobody() -> None:
    balancer, (dead, alive) = followed(ManualClock(), 1, 1)
    end(balancer, dead, 0.001, error=ConnectError("refused"))
    end(balancer, alive, 0.200)

    assert set(picks(balancer, (dead, alive))) == {alive}
    assert told(balancer, dead) == 1000.0


def test_a_server_error_is_a_failure() -> None:
    balancer, (endpoint,) = followed(ManualClock(), 1, failure="300ms")
    end(balancer, endpoint, 0.001, status=503)

    assert told(balancer, endpoint) == 300.0


def test_an_attempt_given_up_counts_only_when_it_took_longer_than_expected() -> None:
    balancer, (endpoint,) = followed(ManualClock(), 1)
    end(balancer, endpoint, 0.100)
    end(balancer, endpoint, 0.001, error=asyncio.CancelledError())
    assert told(balancer, endpoint) == 100.0

    end(balancer, endpoint, 0.500, error=asyncio.CancelledError())
    assert told(balancer, endpoint) == 500.0


def test_a_new_endpoint_counts_as_the_mean_of_those_that_have_answered() -> None:
    balancer, (one, other, silent) = followed(ManualClock(), 1, 1, 1, initial="30ms")
    end(balancer, one, 0.100)
    end(balancer, other, 0.200)
    new = make_endpoint("http://10.0.0.9:80")
    balancer.pick((one, other, silent, new), make_request())

    assert (told(balancer, silent), told(balancer, new)) == (30.0, 150.0)


def test_an_endpoint_that_has_gone_is_forgotten() -> None:
    balancer, (gone, stays) = followed(ManualClock(), 1, 1)
    balancer.removed(gone)
    end(balancer, gone, 0.5)

    assert balancer.state() == {"latency_ms": {stays.url: 30.0}}


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(0, 1000))
def test_endpoints_that_are_alike_get_the_shares_of_their_weights(weights: list[int], seed: int) -> None:
    endpoints = endpoints_of(*weights)
    got = picks(build(PeakEwma, random=Random(seed)), endpoints, 600)

    for endpoint in endpoints:
        share = endpoint.weight / sum(weights)
        assert abs(got[endpoint] - 600 * share) <= 6 * sqrt(600 * share * (1 - share)) + 1


def test_load_follows_speed() -> None:
    """Three endpoints, one of which takes five times as long, each busy until its answer is there."""
    clock, endpoints = ManualClock(), endpoints_of(1, 1, 1)
    balancer = build(PeakEwma, clock=clock)
    took = dict(zip(endpoints, (0.010, 0.010, 0.050), strict=True))
    waiting: list[tuple[float, Endpoint]] = []
    got: Counter[Endpoint | None] = Counter()
    for number in range(4000):
        now = number * 0.001
        for item in [each for each in waiting if each[0] <= now]:
            waiting.remove(item)
            item[1].in_flight -= 1
            end(balancer, item[1], took[item[1]])
        pick = balancer.pick(endpoints, make_request())
        assert pick is not None
        pick.in_flight += 1
        waiting.append((now + took[pick], pick))
        got[pick] += 1

    assert got[endpoints[2]] < 4000 / 3 / 5
    assert abs(got[endpoints[0]] - got[endpoints[1]]) < 400


async def test_it_holds_to_the_contract_of_balancers() -> None:
    await check_balancer(build(PeakEwma))
