"""Limits that gateways share over one Redis: what they cost, and whether they hold."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from benchmarks.experiments.experiment import Bench
from benchmarks.load.sample import Sample
from benchmarks.load.wrk import wrk
from benchmarks.report.finding import Finding, Report, at_least
from benchmarks.report.table import comparison, failed, ratio, table
from benchmarks.scenario import PLAIN
from benchmarks.servers import free_port, stop
from benchmarks.stand import Stand
from benchmarks.tournament import scene

LIMIT = 100
SLICE = 10
GATEWAYS = 2
LOADED_S = 60
WINDOW_S = 1.0
JITTER_S = 0.05

LIMITED = """
store: {{redis: {{url: "redis://127.0.0.1:{redis}/0"}}}}
routes:
  - {{name: all, filters: [{limit}], to: backend}}
services:
  backend: {{endpoints: ["{url}"]}}
"""
FREE = "{rate_limit: {rate: 10000000/s, burst: 10000000, headers: false, mode: MODE, slice: 1000}}"
AWAY = 'meshwright_rate_limit_total{limit="all",result="store_failed",route="all",service=""}'
SHARED = "{rate_limit: {limit: LIMIT, window: 1s, key: route, mode: MODE, slice: SLICE, name: shared}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCosts:
    """A route with a shared limit against the same route without one."""

    name: str = "limit-costs"
    title: str = "a limit shared over Redis, against none"

    def run(self, bench: Bench) -> Report:
        labels = {"no limit": "", "exact": FREE.replace("MODE", "exact"), "leased": FREE.replace("MODE", "leased")}
        with scene() as (stack, folder):
            stand = Stand(stack=stack, folder=folder, cores=bench.plan.cores)
            redis, upstream = free_port(), stand.upstream()
            stand.redis(redis)
            ports = {
                label: stand.gateway(LIMITED.format(redis=redis, limit=limit, url=upstream.url))
                for label, limit in labels.items()
            }
            results: dict[str, list[Sample]] = {label: [] for label in ports}
            for turn in range(bench.plan.rounds + 1):
                for label, port in ports.items():
                    sample = wrk(port, PLAIN, seconds=bench.plan.seconds, cores=bench.plan.cores.load)
                    if turn:  # the first is for warming up
                        results[label].append(sample)
                        bench.say(f"  round {turn}  {label:<12}{sample.requests_per_s:>10,.0f} requests/s")
        findings = tuple(
            at_least(f"{label} limit shared over Redis", ratio(results[label], results["no limit"]), reach, "no limit")
            for label, reach in (("exact", 0.6), ("leased", 0.9))
        )
        return Report(
            name=self.name,
            title=self.title,
            text=comparison(results, reference="no limit"),
            findings=findings,
            clean=not any(map(failed, results.values())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsHold:
    """Two gateways with one Redis under a load far above the limit: what came through, in any second and in all."""

    name: str = "limits-hold"
    title: str = f"two gateways with one limit of {LIMIT} in any {WINDOW_S:g} s over Redis"

    def run(self, bench: Bench) -> Report:
        rows, findings = [], []
        for mode, allowed in (("exact", LIMIT), ("leased", LIMIT + GATEWAYS * SLICE)):
            times = self._admitted(mode, bench)
            most = most_in(times, WINDOW_S - JITTER_S)
            rows.append((mode, f"{most}", f"{allowed}", f"{len(times):,}"))
            findings.append(
                Finding(
                    what=f"{mode} limit shared by two gateways: most in any window of a minute's load",
                    reach=f"at most {allowed}",
                    figure=f"{most}",
                    reached=most <= allowed and len(times) > 0.9 * LIMIT * LOADED_S / WINDOW_S,
                )
            )
        headings = ("limit", "most in any window", "allowed", f"in {LOADED_S} s")
        note = (
            f"The limit is {LIMIT} in any {WINDOW_S:g} s; leased, {GATEWAYS} workers may have a slice of {SLICE} in "
            "hand beside it. Counted where requests arrive, in windows that are shorter by what their ways may differ, "
            f"{JITTER_S * 1000:.0f} ms."
        )
        text = f"{note}\n\n{table(headings, rows)}"
        return Report(name=self.name, title=self.title, text=text, findings=tuple(findings))

    def _admitted(self, mode: str, bench: Bench) -> list[float]:
        """Return when each request that was admitted arrived at the upstream."""
        values = {"LIMIT": LIMIT, "MODE": mode, "SLICE": SLICE}
        limit = SHARED
        for name, value in values.items():
            limit = limit.replace(name, str(value))
        with scene() as (stack, folder):
            stand = Stand(stack=stack, folder=folder, cores=bench.plan.cores)
            redis, upstream = free_port(), stand.upstream()
            stand.redis(redis)
            text = LIMITED.format(redis=redis, limit=limit, url=upstream.url)
            ports = [stand.gateway(text) for _ in range(GATEWAYS)]
            before = upstream.seen()
            with ThreadPoolExecutor() as threads:
                few, cores = replace(PLAIN, connections=8), bench.plan.cores.load
                loads = [threads.submit(wrk, port, few, seconds=LOADED_S, cores=cores) for port in ports]
                for load in loads:
                    load.result()
            return upstream.times()[before:]


def most_in(times: Sequence[float], span_s: float) -> int:
    """Return the greatest number of `times`, in ascending order, within any span of so many seconds."""
    most = first = 0
    for last, time_s in enumerate(times):
        while times[first] < time_s - span_s:
            first += 1
        most = max(most, last - first + 1)
    return most


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLoss:
    """Redis is killed under load and comes back: no request hangs or fails, and the limit is shared again by itself."""

    name: str = "store-loss"
    title: str = "Redis killed and back under load, with an exact limit (on_store_failure: allow)"

    def run(self, bench: Bench) -> Report:
        limit = FREE.replace("MODE", "exact").replace("headers: false", "headers: false, on_store_failure: allow")
        with scene() as (stack, folder):
            stand = Stand(stack=stack, folder=folder, cores=bench.plan.cores)
            redis, upstream = free_port(), stand.upstream()
            process = stand.redis(redis)
            port = stand.gateway(LIMITED.format(redis=redis, limit=limit, url=upstream.url))
            with ThreadPoolExecutor() as threads:
                load = threads.submit(wrk, port, PLAIN, seconds=9, cores=bench.plan.cores.load)
                time.sleep(2)
                stop(process)
                time.sleep(3)
                stand.redis(redis)
                sample = load.result()
            failures = stand.metric(port, AWAY)
            wrk(port, PLAIN, seconds=1, cores=bench.plan.cores.load)
            after = stand.metric(port, AWAY) - failures
        without = f"{failures:,.0f}", f"{after:,.0f}"
        rows = [(f"{sample.requests:,}", f"{sample.errors}", f"{sample.p99_ms:.2f}", *without)]
        headings = ("requests", "failed or hung", "p99 ms", "without the store", "without it once it was back")
        finding = Finding(
            what=self.title,
            reach="no hung or failed request, recovery by itself",
            figure=f"{sample.errors} of {sample.requests:,}; {without[0]} without the store, {without[1]} later",
            reached=not sample.errors and failures > 0 and after == 0,
        )
        text = table(headings, rows, left=0)
        return Report(name=self.name, title=self.title, text=text, findings=(finding,), clean=not sample.errors)
