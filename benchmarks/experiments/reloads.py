"""Reloads while traffic runs: none may fail a request."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass

from benchmarks.experiments.experiment import Bench
from benchmarks.gateway import Gateway, start_gateway
from benchmarks.load.sample import Sample, sample_of
from benchmarks.load.wrk import wrk_command
from benchmarks.report.finding import Finding, Report
from benchmarks.report.table import table
from benchmarks.scenario import PLAIN
from benchmarks.servers import BenchmarkError, pinned
from benchmarks.tournament import scene, start_backend

RELOADS = 100
BEFORE_S = 0.5
LIMIT_S = 300
ROUTE = '  - {{name: extra-{number}, match: {{path: "/extra/{number}/*"}}, to: backend}}\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloads:
    """Each reload changes a route and the service, whose pool of connections is made anew."""

    name: str = "reloads"
    title: str = f"{RELOADS} reloads during a run of wrk"

    def run(self, bench: Bench) -> Report:
        cores = bench.plan.cores
        with scene() as (stack, folder):
            upstream_port = start_backend(stack, cores, PLAIN, folder)
            gateway = start_gateway(stack, PLAIN, cores, upstream_port, folder)
            command = pinned(cores.load, wrk_command(gateway.port, PLAIN, seconds=LIMIT_S, cores=cores.load))
            load = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                time.sleep(BEFORE_S)
                took_s = reload_often(gateway)
                load.send_signal(signal.SIGINT)  # it stops and reports
                output, _ = load.communicate(timeout=10)
            finally:
                load.kill()
                load.wait()
        return self._report(sample_of(output), sorted(took_s))

    def _report(self, sample: Sample, took_s: list[float]) -> Report:
        row = (
            f"{len(took_s)}",
            f"{sample.requests:,}",
            f"{sample.requests_per_s:,.0f}",
            f"{sample.p99_ms:.1f}",
            f"{took_s[len(took_s) // 2] * 1e3:.0f}",
            f"{took_s[-1] * 1e3:.0f}",
            f"{sample.errors}",
        )
        headings = ("reloads", "requests", "requests/s", "p99 ms", "reload median ms", "max ms", "errors")
        finding = Finding(
            what=self.title,
            reach="no failed request",
            figure=f"{sample.errors} of {sample.requests:,} failed",
            reached=not sample.errors and sample.requests > 0,
        )
        text = table(headings, [row], left=0)
        return Report(name=self.name, title=self.title, text=text, findings=(finding,), clean=not sample.errors)


def reload_often(gateway: Gateway) -> list[float]:
    """Reload one version after the other; return how long each took until it was in use, in seconds."""
    text, took_s = gateway.file.read_text("utf-8"), []
    before, services = text.split("services:\n")
    for number in range(RELOADS):
        balancer = ("random", "round_robin")[number % 2]
        changed = services.replace("    endpoints:", f"    balancer: {balancer}\n    endpoints:")
        if changed == services:
            raise BenchmarkError("reloads: expected endpoints in the configuration; got none")
        began_s = time.perf_counter()
        gateway.reload(f"{before}{ROUTE.format(number=number)}services:\n{changed}")
        took_s.append(time.perf_counter() - began_s)
    return took_s
