"""`python -m benchmarks.profile`: a table of µs a request, by part, by function and by system call."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.contenders.meshwright import Meshwright
from benchmarks.experiments.catalogue import EXPERIMENTS
from benchmarks.experiments.comparison import Comparison
from benchmarks.profile.parts import Shares
from benchmarks.profile.tracing import Totals, sampled, system_calls, totals
from benchmarks.report.table import table
from benchmarks.scenario import Scenario
from benchmarks.servers import BenchmarkError, prepare, stop_by_signal
from benchmarks.tournament import WARM_UP_S, Cores, Entry, Say, scene, start, start_backend

SCENARIOS = {name: each.scenario for name, each in EXPERIMENTS.items() if isinstance(each, Comparison)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--scenario", choices=SCENARIOS, default="plain", help="what is asked of the gateway (plain)")
    parser.add_argument("--seconds", type=int, default=8, help="how long stacks are sampled (8)")
    parser.add_argument("--top", type=int, default=30, help="how many functions are shown (30)")
    parser.add_argument("--raw", type=Path, help="keep the stacks in this file, as a flame graph wants them")
    return parser.parse_args()


def profile(scenario: Scenario, options: argparse.Namespace, say: Say) -> str:
    """Load one gateway three times: with nothing looking on, with strace, with py-spy."""
    proxy, core = prepare()
    cores = Cores(proxy=proxy, load=core)
    with scene() as (stack, folder):
        upstream_port = start_backend(stack, cores, scenario, folder)
        entry = Entry(label="meshwright", contender=Meshwright(), scenario=scenario)
        standing = start(stack, entry, cores, upstream_port, folder)
        pid, load = standing.process.pid, standing.measure
        load(WARM_UP_S)
        say("totals, with nothing looking on")
        cost = totals(pid, load, max(2, options.seconds // 2))
        say("system calls")
        calls = system_calls(pid, load, 2, folder)
        say(f"stacks, for {options.seconds} s")
        found = sampled(pid, load, options.seconds, (options.raw or folder / "stacks").absolute())
    return text(scenario, cost, calls, found, options.top)


def text(scenario: Scenario, cost: Totals, calls: dict[str, float], found: Shares, top: int) -> str:
    """Lay everything out in Markdown; what the kernel counted is shared out in the proportions of the samples."""
    whole = cost.user_us + cost.system_us
    user_us = cost.user_us / max(1, found.user.total())
    kernel_us = cost.system_us / max(1, found.kernel.total())
    parts = {name: number * user_us for name, number in found.user.items()}
    parts |= {name: number * kernel_us for name, number in found.kernel.items()}
    functions = {name: number * user_us for name, number in found.functions.most_common(top)}
    one = scenario.unit.removesuffix("s")
    lines = (
        f"{scenario.title}: {cost.requests_per_s:,.0f} {scenario.unit}/s",
        f"{whole:.1f} µs of processor a {one}: {cost.user_us:.1f} user, {cost.system_us:.1f} system",
        f"{cost.sleeps:.2f} sleeps, {sum(calls.values()):.2f} system calls a {one}",
    )
    tables = (
        _shared("part", parts, whole),
        _shared("function of Meshwright, with what it calls in C", functions, whole),
        table(("system call", f"a {one}"), [(name, f"{number:.2f}") for name, number in _falling(calls)]),
    )
    samples = found.user.total() + found.kernel.total()
    note = (
        f"{samples:,} samples: a figure of n of them is off by about √n. User and system time are exact; how they are\n"
        "shared out is not, least of all within the kernel, where a process that is stopped for a look mostly stands."
    )
    return "\n\n".join(("\n".join(lines), *tables[: 3 if calls else 2], note))


def _shared(heading: str, costs: dict[str, float], whole: float) -> str:
    rows: Sequence[Sequence[str]] = [(name, f"{us:.2f}", f"{us / whole:.1%}") for name, us in _falling(costs)]
    return table((heading, "µs", "share"), rows)


def _falling(figures: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(figures.items(), key=lambda pair: pair[1], reverse=True)


def main() -> int:
    options = arguments()
    stop_by_signal()
    try:
        print(profile(SCENARIOS[options.scenario], options, partial(print, file=sys.stderr, flush=True)))
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
