"""Endpoints and services that die or turn slow, and what clients and other routes notice of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from statistics import median

from benchmarks.experiments.experiment import Bench
from benchmarks.experiments.latency import Seen, open_loop
from benchmarks.load.sample import Sample
from benchmarks.load.wrk import wrk
from benchmarks.report.finding import Finding, Report
from benchmarks.report.table import table
from benchmarks.scenario import PLAIN
from benchmarks.stand import Stand, Upstream
from benchmarks.tournament import scene

REQUESTS = 10_000
PROBE_S = 2
SETTLE_S = 0.5
SLOW_MS = 2_000
ASKED = [f'meshwright_requests_total{{route="all",status_class="{status}xx"}}' for status in (2, 4, 5)]
"""What became of requests to a service that only fails: 499 for a client that is gone before its answer. 200 is for the
probe that waited for the gateway, which its budget counts too."""
FAST_MS = 10

DEAD_ENDPOINT = """
routes:
  - {{name: all, filters: [{{retry: {{on: [connect, reset]}}}}], to: backend}}
services:
  backend:
    endpoints: [{endpoints}]
    policies: [endpoint_breaker]
"""

DEAD_SERVICE = """
routes:
  - {{name: all, filters: [{{retry: {{on: [5xx], backoff: 1ms, max_backoff: 2ms, attempts: 5}}}}], to: backend}}
services:
  backend: {{endpoints: ["{url}"]}}
"""

SLOW = """
routes:
  - {{name: other, match: {{path: "/hello"}}, to: other}}
  - {{name: slow, match: {{path: "/slow"}}, to: slow}}
services:
  other: {{endpoints: ["{other}"]}}
  slow:
    endpoints: ["{slow}"]
    filters:
      - circuit_breaker: {{slow_after: 500ms}}
      - concurrency: {{adaptive: {{}}}}
"""


TO_SLOW = replace(PLAIN, at="/slow")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadEndpoint:
    """One of three endpoints dies under load, with retries on: no request fails, and it is left alone."""

    name: str = "dead-endpoint"
    title: str = "a dead endpoint among three, with retries"

    def run(self, bench: Bench) -> Report:
        with scene() as (stack, folder):
            stand = Stand(stack=stack, folder=folder, cores=bench.plan.cores)
            upstreams = [stand.upstream() for _ in range(3)]
            port = stand.gateway(DEAD_ENDPOINT.format(endpoints=", ".join(f'"{each.url}"' for each in upstreams)))
            sample = self._loaded(port, bench, upstreams[0])
        row = (f"{sample.requests:,}", f"{sample.requests_per_s:,.0f}", f"{sample.p99_ms:.2f}", f"{sample.errors}")
        finding = Finding(
            what=self.title,
            reach=f"no failed request of {REQUESTS:,}",
            figure=f"{sample.errors} of {sample.requests:,} failed",
            reached=not sample.errors and sample.requests >= REQUESTS,
        )
        text = table(("requests", "requests/s", "p99 ms", "errors"), [row], left=0)
        return Report(name=self.name, title=self.title, text=text, findings=(finding,), clean=not sample.errors)

    def _loaded(self, port: int, bench: Bench, victim: Upstream) -> Sample:
        """Load the gateway; the victim dies a second after the beginning."""
        with ThreadPoolExecutor() as threads:
            load = threads.submit(wrk, port, PLAIN, seconds=6, cores=bench.plan.cores.load)
            time.sleep(1)
            victim.die()
            return load.result()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadService:
    """Every answer is a failure that is tried again: the service gets little more than without retries."""

    name: str = "dead-service"
    title: str = "a service that only fails, with retries on all traffic (budget 20 %)"

    def run(self, bench: Bench) -> Report:
        with scene() as (stack, folder):
            stand = Stand(stack=stack, folder=folder, cores=bench.plan.cores)
            upstream = stand.upstream()
            port = stand.gateway(DEAD_SERVICE.format(url=upstream.url))
            upstream.behave(status=503)
            wrk(port, PLAIN, seconds=5, cores=bench.plan.cores.load)
            time.sleep(SETTLE_S)
            seen, asked = upstream.seen(), self._asked(stand, port)  # all there ever were, for the budget had them all
        load = seen / asked
        rows = [(f"{asked:,.0f}", f"{seen:,}", f"{load:.3f}")]
        finding = Finding(
            what="load of that service, measured there",
            reach="at most 1.2 ×",
            figure=f"{load:.3f} ×",
            reached=load <= 1.2,
        )
        text = table(("requests of clients", "requests at the service", "×"), rows, left=0)
        return Report(name=self.name, title=self.title, text=text, findings=(finding,))

    def _asked(self, stand: Stand, port: int) -> float:
        return sum(stand.metric(port, name) for name in ASKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowUpstream:
    """One service turns from 10 ms to 2 s: routes to another one keep their latency."""

    name: str = "slow-upstream"
    title: str = "a service that turns from 10 ms to 2 s, beside another one"

    def run(self, bench: Bench) -> Report:
        cores = bench.plan.cores
        with scene() as (stack, folder):
            stand = Stand(stack=stack, folder=folder, cores=cores)
            other, slow = stand.upstream(), stand.upstream()
            slow.behave(delay_ms=FAST_MS)
            port = stand.gateway(SLOW.format(other=other.url, slow=slow.url))
            with ThreadPoolExecutor() as threads:
                rounds = 2 * bench.plan.rounds
                busy = threads.submit(wrk, port, TO_SLOW, seconds=(PROBE_S + 1) * rounds + 4, cores=cores.load)
                time.sleep(2)
                before = [self._p99(port, bench) for _ in range(bench.plan.rounds)]
                slow.behave(delay_ms=SLOW_MS)
                time.sleep(1)
                after = [self._p99(port, bench) for _ in range(bench.plan.rounds)]
                load = busy.result()
        return self._report(before, after, load)

    def _p99(self, port: int, bench: Bench) -> Seen:
        seen = open_loop(port, 500, PROBE_S, bench.plan.cores.load)
        bench.say(f"  p99 of the other route {seen['p99_us'] / 1e3:.2f} ms")
        return seen

    def _report(self, before: Sequence[Seen], after: Sequence[Seen], load: Sample) -> Report:
        was, now = (median(seen["p99_us"] for seen in runs) / 1e3 for runs in (before, after))
        errors = sum(seen["errors"] for seen in (*before, *after))
        finding = Finding(
            what=f"p99 of the other route, {self.title}",
            reach="at most 1.5 × what it was",
            figure=f"{now / was:.2f} × ({was:.2f} to {now:.2f} ms)",
            reached=round(now / was, 2) <= 1.5 and not errors,
        )
        rows = [(f"{was:.2f}", f"{now:.2f}", f"{now / was:.2f}", f"{errors:.0f}", f"{load.requests_per_s:,.0f}")]
        headings = ("p99 ms before", "p99 ms after", "×", "errors of the other route", "requests/s to the slow one")
        text = table(headings, rows, left=0)
        return Report(name=self.name, title=self.title, text=text, findings=(finding,), clean=not errors)
