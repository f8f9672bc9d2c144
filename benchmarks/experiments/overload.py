"""Twice as many requests as a gateway can do, a fifth of them of high priority."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.experiments.experiment import Bench
from benchmarks.load.generator import run
from benchmarks.load.wrk import wrk
from benchmarks.report.finding import Finding, Report
from benchmarks.report.table import table
from benchmarks.scenario import PLAIN
from benchmarks.servers import raise_file_limit
from benchmarks.stand import Stand
from benchmarks.tournament import scene

HIGH_PERCENT = 20
SETTLE_S = 5
LOADED_S = 8

WORK = """
from time import perf_counter

from meshwright_sdk import filter


@filter
async def work(request, call_next):
    end = perf_counter() + 0.0005
    while perf_counter() < end:
        pass
    return await call_next(request)
"""

GATEWAY = """
plugins: [./work.py]
filters:
  - priority: {{key: "header:x-level", levels: {{high: high, low: low}}, trusted_clients: ["127.0.0.0/8"]}}
  - overload
  - work
routes:
  - {{name: all, to: backend}}
services:
  backend: {{endpoints: ["{url}"]}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwiceTheLoad:
    """A route with 0.5 ms of work for each request, so that the load generator is not what is overloaded."""

    name: str = "overload"
    title: str = f"twice what the gateway can do, {HIGH_PERCENT} % of it of high priority"

    def run(self, bench: Bench) -> Report:
        raise_file_limit()
        rounds = []
        with scene() as (stack, folder):
            stand = Stand(stack=stack, folder=folder, cores=bench.plan.cores)
            port = stand.gateway(GATEWAY.format(url=stand.upstream().url), work=WORK)
            for turn in range(1, bench.plan.rounds + 1):
                wrk(port, PLAIN, seconds=2, cores=bench.plan.cores.load)  # until the guard has calmed down
                alone = wrk(port, PLAIN, seconds=3, cores=bench.plan.cores.load)
                capacity = alone.requests_per_s * (1 - alone.errors / alone.requests)
                seen = self._load(port, capacity, bench)
                rounds.append((capacity, seen))
                bench.say(f"  round {turn}  capacity {capacity:,.0f}/s, answers {dict(seen)}")
        return self._report(rounds)

    def _load(self, port: int, capacity: float, bench: Bench) -> Mapping[str, int]:
        seconds = SETTLE_S + LOADED_S
        options = {"port": port, "rate": round(2 * capacity), "seconds": seconds, "settle": SETTLE_S}
        options["high"] = HIGH_PERCENT
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "benchmarks.load.two_classes", *words]
        seen = json.loads(run("two classes", command, seconds=seconds, cores=bench.plan.cores.load))
        return {**seen["answers"], "unsent": seen["unsent"]}

    def _report(self, rounds: Sequence[tuple[float, Mapping[str, int]]]) -> Report:
        rows, shares, lost = [], [], 0
        for capacity, seen in rounds:
            good = seen.get("high 200", 0) + seen.get("low 200", 0)
            refused = seen.get("high 503", 0)
            shares.append(good / LOADED_S / capacity)
            lost += refused
            rows.append(
                (
                    f"{capacity:,.0f}",
                    f"{good / LOADED_S:,.0f}",
                    f"{shares[-1]:.0%}",
                    f"{seen.get('high 200', 0):,}",
                    f"{refused:,}",
                    f"{seen.get('low 503', 0):,}",
                )
            )
        headings = ("capacity /s", "answered well /s", "of it", "high priority", "refused of it", "refused of low")
        goodput = Finding(
            what="goodput at twice the load",
            reach="at least 90 % of capacity",
            figure=f"{median(shares):.0%}",
            reached=round(median(shares), 2) >= 0.9,
        )
        kept = Finding(
            what="high priority at twice the load",
            reach="loses nothing",
            figure=f"{lost} of {sum(seen.get('high 200', 0) for _, seen in rounds) + lost:,} refused",
            reached=lost == 0,
        )
        text = table(headings, rows, left=0)
        return Report(name=self.name, title=self.title, text=text, findings=(goodput, kept))
