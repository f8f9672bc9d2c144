"""Many routes: what they cost a request, how long they take to build, and what the change to them holds up."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException

from benchmarks.contenders.contender import Contender
from benchmarks.contenders.envoy import Envoy
from benchmarks.contenders.meshwright import Meshwright, routes
from benchmarks.experiments.experiment import Bench
from benchmarks.gateway import start_gateway
from benchmarks.report.finding import Finding, Report, below
from benchmarks.report.table import comparison, failed, ratio
from benchmarks.scenario import Scenario
from benchmarks.servers import BenchmarkError
from benchmarks.tournament import Entry, play, scene, start_backend

FEW, MANY = 10, 10_000
SCENARIO = Scenario(name="routes", title=f"{MANY:,} routes against {FEW}", routes=FEW)
BEFORE_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Requests go round all routes, by as many paths whatever the number of routes.

    The gateway changes from few to many while one client asks without a pause.
    """

    name: str = SCENARIO.name
    title: str = SCENARIO.title

    def run(self, bench: Bench) -> Report:
        entries = [*_both("meshwright", Meshwright()), *(_both("envoy", Envoy()) if bench.has("envoy") else [])]
        results = play(entries, bench.plan, bench.say)
        few, many = (results[entry.label] for entry in entries[:2])
        built_s, stall_ms, usual_ms = self._change(bench)
        share = 0.0 if failed(few) or failed(many) else ratio(many, few)
        findings = (
            Finding(
                what=self.title,
                reach="at most 5 % slower",
                figure=f"{abs(1 - share):.1%} {'slower' if share < 1 else 'faster'}",
                reached=share >= 0.95,
            ),
            below(f"a snapshot with {MANY:,} routes: read, checked, built and in use", built_s, 2, "s"),
            below("the longest that a request waited meanwhile", stall_ms, 50, "ms"),
        )
        change = (
            f"The change from {FEW} to {MANY:,} routes took {built_s:.2f} s from the request for the reload until it\n"
            f"was in use. The longest request meanwhile took {stall_ms:.1f} ms; without a reload {usual_ms:.1f} ms."
        )
        text = f"{comparison(results, reference=entries[0].label)}\n\n{change}"
        clean = not any(map(failed, results.values()))
        return Report(name=self.name, title=self.title, text=text, findings=findings, clean=clean)

    def _change(self, bench: Bench) -> tuple[float, float, float]:
        """Return how long the change took, in seconds, and the longest request with and without it, in ms."""
        cores = bench.plan.cores
        with scene() as (stack, folder):
            upstream_port = start_backend(stack, cores, replace(SCENARIO, routes=1), folder)
            gateway = start_gateway(stack, SCENARIO, cores, upstream_port, folder)
            text = gateway.file.read_text("utf-8").replace(routes(FEW), routes(MANY))
            with Probe(gateway.port) as probe:
                time.sleep(BEFORE_S)
                usual_ms = probe.longest_ms()
                began_s = time.perf_counter()
                gateway.reload(text)
                built_s = time.perf_counter() - began_s
                time.sleep(BEFORE_S)
                return built_s, probe.longest_ms(), usual_ms


class Probe:
    """One client that asks again as soon as it is answered, in a thread, as long as the block runs."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._thread = threading.Thread(target=self._ask)
        self._ended = threading.Event()
        self._longest_s = 0.0
        self._problem = ""

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def longest_ms(self) -> float:
        """The longest request since this was asked last; raises BenchmarkError when one failed."""
        if self._problem:
            raise BenchmarkError(f"probe: {self._problem}")
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s * 1e3

    def _ask(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            while not self._ended.is_set():
                began_s = time.perf_counter()
                connection.request("GET", "/r0/hello")
                response = connection.getresponse()
                response.read()
                self._longest_s = max(self._longest_s, time.perf_counter() - began_s)
                if response.status != 200:
                    self._problem = f"expected 200; got {response.status}"
        except (OSError, HTTPException) as error:
            self._problem = f"expected an answer; got {error!r}"
        finally:
            with suppress(OSError):
                connection.close()


def _both(label: str, contender: Contender) -> list[Entry]:
    return [
        Entry(label=f"{label}, {number:,} routes", contender=contender, scenario=replace(SCENARIO, routes=number))
        for number in (FEW, MANY)
    ]
