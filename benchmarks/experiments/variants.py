"""Experiments that compare Meshwright with itself, set up another way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.contenders.envoy import Envoy
from benchmarks.contenders.meshwright import Meshwright, MeshwrightUnderUvicorn
from benchmarks.experiments.experiment import Bench
from benchmarks.load.sample import Sample
from benchmarks.report.finding import Finding, Report, at_least
from benchmarks.report.table import comparison, failed, ratio
from benchmarks.scenario import PLAIN
from benchmarks.tournament import Cores, Entry, play

SHARED_NOTE = """Here load, backend and contender share the cores, because two cores leave none for the load: first all
of it with one worker on one core, then all of it with two workers on two. Envoy shows what the machine can give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsgiPath:
    """The gateway as an application of plain uvicorn, against its own protocol."""

    name: str = "asgi"
    title: str = "the ASGI path (plain uvicorn) against the direct path"

    def run(self, bench: Bench) -> Report:
        direct = Entry(label="direct", contender=Meshwright(), scenario=PLAIN)
        mounted = Entry(label="under uvicorn", contender=MeshwrightUnderUvicorn(), scenario=PLAIN)
        results = play([direct, mounted], bench.plan, bench.say)
        return Report(
            name=self.name,
            title=self.title,
            text=comparison(results, reference=direct.label),
            findings=(_compared(self.title, results[mounted.label], results[direct.label], 0.5, "the direct path"),),
            clean=not any(map(failed, results.values())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Two workers on two cores against one on one, the load being on the same cores at equal share."""

    name: str = "workers"
    title: str = "two workers on two cores against one on one"

    def run(self, bench: Bench) -> Report:
        results = play(self._entries(bench), bench.plan, bench.say)
        one, two = results["meshwright, 1 worker"], results["meshwright, 2 workers"]
        return Report(
            name=self.name,
            title=self.title,
            text=f"{SHARED_NOTE}\n\n{comparison(results, reference='meshwright, 1 worker')}",
            findings=(_compared(self.title, two, one, 1.7, "one"),),
            clean=not any(map(failed, results.values())),
        )

    def _entries(self, bench: Bench) -> list[Entry]:
        first, second = bench.plan.cores.proxy, bench.plan.cores.load
        one, two = Cores(proxy=first, load=first), Cores(proxy=f"{first},{second}", load=f"{first},{second}")
        scenario = replace(PLAIN, connections=64)
        entries = [
            Entry(label="meshwright, 1 worker", contender=Meshwright(), scenario=scenario, cores=one),
            Entry(label="meshwright, 2 workers", contender=Meshwright(workers=2), scenario=scenario, cores=two),
        ]
        if bench.has("envoy"):
            entries += [
                Entry(label="envoy, 1 worker", contender=Envoy(), scenario=scenario, cores=one),
                Entry(label="envoy, 2 workers", contender=Envoy(workers=2), scenario=scenario, cores=two),
            ]
        return entries


def _compared(what: str, own: Sequence[Sample], other: Sequence[Sample], reach: float, against: str) -> Finding:
    if failed(own) or failed(other):
        return Finding(what=what, reach=f"at least {reach:g} × {against}", figure="requests failed", reached=False)
    return at_least(what, ratio(own, other), reach, against)
