"""One scenario from start to end: servers up, warm-up, rounds in turn, servers down."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import nginx
from benchmarks.contenders import Contender, Place
from benchmarks.load import Sample, measure
from benchmarks.scenario import Scenario
from benchmarks.servers import Process, free_port, running, wait_until_ready

WARM_UP_S = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and where: the contenders on one core, load and backend together on the other."""

    rounds: int
    seconds: int
    proxy_core: int = 0
    load_core: int = 1


def play(
    scenario: Scenario, contenders: Sequence[Contender], plan: Plan, say: Callable[[str], None]
) -> dict[str, list[Sample]]:
    """Measure the contenders one after the other, round by round, and give each one's samples.

    All stay up for the whole run, but only one is under load at a time. Raises BenchmarkError when one cannot start.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="meshwright-bench-")))
        upstream_port = free_port()
        command = nginx.backend(scenario, port=upstream_port, folder=folder)
        backend = stack.enter_context(running("backend", command, core=plan.load_core, folder=folder))
        wait_until_ready("backend", backend, port=upstream_port, scenario=scenario, folder=folder)

        up: dict[str, tuple[Process, int]] = {}
        for contender in contenders:
            place = Place(scenario=scenario, port=free_port(), upstream_port=upstream_port, folder=folder)
            up[contender.name] = _start(stack, contender, place, plan), place.port
        return _rounds(scenario, up, plan, say)


def _start(stack: ExitStack, contender: Contender, place: Place, plan: Plan) -> Process:
    command = contender.command(place)
    server = running(contender.name, command, core=plan.proxy_core, folder=place.folder)
    process = stack.enter_context(server)
    wait_until_ready(contender.name, process, port=place.port, scenario=place.scenario, folder=place.folder)
    return process


def _rounds(
    scenario: Scenario, up: dict[str, tuple[Process, int]], plan: Plan, say: Callable[[str], None]
) -> dict[str, list[Sample]]:
    for process, port in up.values():
        measure(process, port, scenario, seconds=WARM_UP_S, core=plan.load_core)
    results: dict[str, list[Sample]] = {name: [] for name in up}
    for turn in range(1, plan.rounds + 1):
        for name, (process, port) in up.items():
            sample = measure(process, port, scenario, seconds=plan.seconds, core=plan.load_core)
            results[name].append(sample)
            say(f"  round {turn}/{plan.rounds}  {name:<12}{sample.requests_per_s:>10,.0f} requests/s")
    return results
