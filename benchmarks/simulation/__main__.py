"""`python -m benchmarks.simulation`: play the fleet, print what came of it, and write docs/simulation.md if wanted."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from dataclasses import replace
from typing import Any

from benchmarks.simulation.fleet import Fleet, Plan, Seen
from benchmarks.simulation.page import write_page
from benchmarks.simulation.virtual_time import VirtualClock, VirtualLoop
from meshwright.plugin_host.registry import Registry

BALANCERS: dict[str, dict[str, Any]] = {
    "random": {},
    "round_robin": {},
    "weighted_round_robin": {},
    "least_connections": {},
    "two_choices": {},
    "peak_ewma": {},
    "ring_hash": {"key": "header:x-user"},
    "maglev": {"key": "header:x-user"},
}

RETRY = {"on": ["503"], "attempts": 3, "backoff": "1ms", "max_backoff": "10ms"}
OUTAGES: dict[str, dict[str, Any]] = {
    "no retries": {},
    "retries without a budget": {"filters": [("retry", {**RETRY, "budget": "100%"})]},
    "retries, budget 20 %": {"filters": [("retry", {**RETRY, "budget": "20%"})]},
    "outlier, no retries": {"policies": [("outlier", {})]},
    "outlier, retries, budget 20 %": {
        "filters": [("retry", {**RETRY, "budget": "20%"})],
        "policies": [("outlier", {})],
    },
}
FAILING = (0.3, 1.0)


def play(plan: Plan) -> Seen:
    """Play a plan in a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(Fleet(plan, VirtualClock(loop)).run())


def spread(plan: Plan) -> list[tuple[str, Seen]]:
    """Play the same load with each balancer."""
    known = {info.name for info in Registry.built_in().all() if info.kind == "balancer"}
    results = []
    for name, options in BALANCERS.items():
        if name in known:
            results.append((name, _told(name, replace(plan, balancer=name, options=options))))
    return results


def outage(plan: Plan, balancer: str) -> list[tuple[str, float, Seen]]:
    """Play an outage of a part of the fleet, and of all of it, with each way to deal with it."""
    results = []
    for share in FAILING:
        for name, how in OUTAGES.items():
            failing = replace(plan, balancer=balancer, failing_share=share, utilisation=0.4, **how)
            results.append((name, share, _told(f"{name}, {share:.0%} failing", failing)))
    return results


def _told(name: str, plan: Plan) -> Seen:
    began_s = time.perf_counter()
    seen = play(plan)
    print(f"  {name}: {seen.asked:,} requests in {time.perf_counter() - began_s:.0f} s", file=sys.stderr, flush=True)
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("--endpoints", type=int, default=1_000)
    parser.add_argument("--gateways", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0, help="virtual seconds of load")
    parser.add_argument("--write", action="store_true", help="also write docs/simulation.md and its chart")
    options = parser.parse_args()
    logging.getLogger("meshwright").setLevel(logging.ERROR)  # 100 gateways tell of each endpoint
    plan = Plan(endpoints=options.endpoints, gateways=options.gateways, seconds=options.seconds)
    spreads, outages = spread(plan), outage(plan, "round_robin")
    text = write_page(plan, spreads, outages, write=options.write)
    print(text)


if __name__ == "__main__":
    main()
