"""One scenario from start to end: servers up, warm-up, rounds in turn, servers down."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.certificate import make_certificate
from benchmarks.contenders import nginx
from benchmarks.contenders.contender import Contender, Place
from benchmarks.load.generator import run
from benchmarks.load.sample import Sample, sample_of
from benchmarks.load.wrk import wrk
from benchmarks.probe import answers, says_header
from benchmarks.scenario import Scenario
from benchmarks.servers import BenchmarkError, Process, cpu_seconds, free_port, running, tail, wait_until_ready

WARM_UP_S = 1

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Where the contender runs, and where load and backend run together."""

    proxy: str
    load: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and where."""

    rounds: int
    seconds: int
    cores: Cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A contender under its name in one table, with what is asked of it; `cores` are the plan's when left out."""

    label: str
    contender: Contender
    scenario: Scenario
    cores: Cores | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A contender that is up and answers."""

    entry: Entry
    process: Process
    place: Place
    cores: Cores

    def measure(self, seconds: int) -> Sample:
        """Load it for so long."""
        cpu_s, began_s = cpu_seconds(self.process), time.monotonic()
        try:
            sample = self._load(seconds)
        except BenchmarkError as error:
            label = self.entry.label
            raise BenchmarkError(f"{label}: {error}\n{tail(label, self.place.folder)}") from error
        busy = (cpu_seconds(self.process) - cpu_s) / (time.monotonic() - began_s)
        return replace(sample, busy=busy)

    def _load(self, seconds: int) -> Sample:
        scenario = self.place.scenario
        if scenario.streams is None:
            return wrk(self.place.port, scenario, seconds=seconds, cores=self.cores.load)
        ports = ("--port", str(self.place.port), "--upstream-port", str(self.place.upstream_port))
        much = ("--streams", str(scenario.connections), "--seconds", str(seconds))
        command = [sys.executable, "-m", "benchmarks.load.streams", scenario.streams, *ports, *much]
        return sample_of(run("streams", command, seconds=seconds, cores=self.cores.load))


@contextmanager
def scene() -> Iterator[tuple[ExitStack, Path]]:
    """A folder for one experiment, and a stack that stops its servers before the folder goes."""
    with tempfile.TemporaryDirectory(prefix="meshwright-bench-") as folder, ExitStack() as stack:
        yield stack, Path(folder)


def play(entries: Sequence[Entry], plan: Plan, say: Say) -> dict[str, list[Sample]]:
    """Measure the entries one after the other, round by round, and give each one's samples.

    All stay up for the whole run, but only one is under load at a time. Raises BenchmarkError when one cannot start.
    """
    with scene() as (stack, folder):
        backends: dict[tuple[Cores, Scenario], int] = {}
        standings = []
        for entry in entries:
            cores = entry.cores or plan.cores
            backend = cores, replace(entry.scenario, routes=1)
            if backend not in backends:
                backends[backend] = start_backend(stack, *backend, folder)
            standings.append(start(stack, entry, cores, backends[backend], folder))
        return _rounds(standings, plan, say)


def start_backend(stack: ExitStack, cores: Cores, scenario: Scenario, folder: Path) -> int:
    """Start what answers behind the contenders, and return its port. Streams bring their own to the port."""
    port = free_port()
    if scenario.streams:
        return port
    command = nginx.backend(scenario, port=port, folder=folder, processes=len(cores.load.split(",")))
    process = stack.enter_context(running("backend", command, cores=cores.load, folder=folder))
    wait_until_ready("backend", process, partial(answers, port, replace(scenario, tls=False)), folder)
    return port


def start(stack: ExitStack, entry: Entry, cores: Cores, upstream_port: int, folder: Path) -> Standing:
    """Start a contender and wait until it answers as the scenario wants."""
    certificate = folder / "server.pem"
    if entry.scenario.tls and not certificate.exists():
        make_certificate(folder)
    place = Place(
        scenario=entry.scenario,
        port=free_port(),
        upstream_port=upstream_port,
        folder=folder,
        certificate=certificate,
    )
    command = entry.contender.command(place)
    process = stack.enter_context(running(entry.label, command, cores=cores.proxy, folder=folder))
    wait_until_ready(entry.label, process, partial(answers, place.port, entry.scenario), folder)
    if entry.scenario.filtered and not says_header(place.port, entry.scenario):
        raise BenchmarkError(f"{entry.label}: expected a header set each way; got none")
    return Standing(entry=entry, process=process, place=place, cores=cores)


def _rounds(standings: Sequence[Standing], plan: Plan, say: Say) -> dict[str, list[Sample]]:
    for standing in standings:
        standing.measure(WARM_UP_S)
    results: dict[str, list[Sample]] = {standing.entry.label: [] for standing in standings}
    for turn in range(1, plan.rounds + 1):
        for standing in standings:
            label, unit = standing.entry.label, standing.entry.scenario.unit
            sample = standing.measure(plan.seconds)
            results[label].append(sample)
            say(f"  round {turn}/{plan.rounds}  {label:<26}{sample.requests_per_s:>10,.0f} {unit}/s")
    return results
