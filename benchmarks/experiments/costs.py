"""What each filter, policy and balancer costs a request by itself, measured without sockets."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from benchmarks.experiments.experiment import Bench
from benchmarks.load.generator import run
from benchmarks.report.finding import Report
from benchmarks.report.table import table

SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """No aim of its own: the table is there for whoever puts a chain together."""

    name: str = "costs"
    title: str = "what a filter costs each request, in microseconds of CPU"

    def run(self, bench: Bench) -> Report:
        command = [sys.executable, "-m", "benchmarks.load.filter_costs"]
        seen: dict[str, float] = json.loads(run("costs", command, seconds=SECONDS, cores=bench.plan.cores.proxy))
        rows = [(f"`{name}`", f"{cost_us:.2f}") for name, cost_us in seen.items()]
        note = (
            "One request through a chain of this filter alone, less one through an empty chain: least of many runs, "
            "of a request and an answer without content that go the usual way (admitted, closed, first attempt good)."
        )
        return Report(name=self.name, title=self.title, text=f"{note}\n\n{table(('filter', 'µs'), rows)}")
