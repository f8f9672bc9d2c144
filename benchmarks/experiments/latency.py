"""Latency that a proxy adds at a load that all of them carry easily: half of Envoy's peak, at a constant rate."""

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
from benchmarks.report.table import REFERENCE, table
from benchmarks.scenario import PLAIN
from benchmarks.servers import BenchmarkError
from benchmarks.tournament import Entry, scene, start, start_backend

CONNECTIONS = 64
DIRECT = "(backend alone)"
HEADINGS = ("contender", "p50 ms", "p99 ms", "added p50 ms", "added p99 ms", "sent late p99 ms", "errors")

Seen = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """The p99 that Meshwright adds should be no worse than what Envoy adds."""

    name: str = "latency"
    title: str = "added latency at half of Envoy's peak load, requests at a constant rate"

    def run(self, bench: Bench) -> Report:
        rate, results = self._measure(bench)
        middle = {label: _medians(runs) for label, runs in results.items()}
        direct = middle[DIRECT]
        rows = [_row(label, seen, direct) for label, seen in middle.items()]
        note = f"{rate:,} requests/s over {CONNECTIONS} connections; times count from when a request was due."
        return Report(
            name=self.name,
            title=self.title,
            text=f"{note}\n\n{table(HEADINGS, rows)}",
            findings=self._findings(middle, direct) if {"meshwright", REFERENCE} <= middle.keys() else (),
            clean=not any(seen["errors"] for seen in middle.values()),
        )

    def _findings(self, middle: Mapping[str, Seen], direct: Seen) -> tuple[Finding, ...]:
        own, theirs = (middle[name]["p99_us"] - direct["p99_us"] for name in ("meshwright", REFERENCE))
        figure = f"{own / 1e3:.2f} ms, Envoy {theirs / 1e3:.2f} ms"
        reach = "p99 no worse than Envoy's"
        return (Finding(what=self.title, reach=reach, figure=figure, reached=round(own, -1) <= round(theirs, -1)),)

    def _measure(self, bench: Bench) -> tuple[int, dict[str, list[Seen]]]:
        plan = bench.plan
        with scene() as (stack, folder):
            backend = start_backend(stack, plan.cores, PLAIN, folder)
            ports = {DIRECT: backend}
            for each in bench.contenders:
                entry = Entry(label=each.name, contender=each, scenario=PLAIN)
                ports[each.name] = start(stack, entry, plan.cores, backend, folder).place.port
            measure_by = ports.get(REFERENCE) or ports[bench.contenders[0].name]
            peak = max(wrk(measure_by, PLAIN, seconds=plan.seconds, cores=plan.cores.load).requests_per_s for _ in "12")
            rate = round(peak / 2)
            results: dict[str, list[Seen]] = {label: [] for label in ports}
            for turn in range(1, plan.rounds + 1):
                for label, port in ports.items():
                    seen = open_loop(port, rate, plan.seconds, plan.cores.load)
                    results[label].append(seen)
                    bench.say(f"  round {turn}/{plan.rounds}  {label:<16}p99 {seen['p99_us'] / 1e3:.2f} ms")
            return rate, results


def open_loop(port: int, rate: int, seconds: int, cores: str) -> Seen:
    options = ("--port", port, "--rate", rate, "--seconds", seconds, "--connections", CONNECTIONS)
    command = [sys.executable, "-m", "benchmarks.load.open_loop", *map(str, options)]
    output = run("open loop", command, seconds=seconds, cores=cores)
    seen: Seen = json.loads(output)
    if seen["requests"] < rate * seconds * 0.98:
        raise BenchmarkError(f"open loop: expected {rate * seconds} answers; got {seen['requests']}")
    return seen


def _medians(runs: Sequence[Seen]) -> Seen:
    return {name: median(seen[name] for seen in runs) for name in runs[0]} | {
        "errors": sum(seen["errors"] for seen in runs)
    }


def _row(label: str, seen: Seen, direct: Seen) -> Sequence[str]:
    added = (f"{(seen[name] - direct[name]) / 1e3:.2f}" for name in ("p50_us", "p99_us"))
    return (
        label,
        f"{seen['p50_us'] / 1e3:.2f}",
        f"{seen['p99_us'] / 1e3:.2f}",
        *(added if seen is not direct else ("", "")),
        f"{seen['late_p99_us'] / 1e3:.2f}",
        f"{seen['errors']:.0f}",
    )
