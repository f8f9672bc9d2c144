"""The page `docs/benchmarks.md`: the table, and what a reader needs to judge or repeat it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from benchmarks.scenario import Scenario
from benchmarks.tournament import Plan

FILE = Path(__file__).parent.parent / "docs" / "benchmarks.md"

PAGE = """# Benchmarks

Made by `make bench ARGS=--write` on {day}: {cpu}, {cores} cores, Linux {kernel}, Python {python}.
Contenders: {versions}.

{sections}

## How it is measured

All run on one machine over loopback. Each contender serves with one process (Envoy: one worker thread) pinned to one
core; wrk (one thread) and the backend, nginx with a fixed answer, share another core. All contenders stay up, and are
loaded one after the other, {rounds} rounds of {seconds} s each after a warm-up. A figure is the median of the rounds;
`min` and `max` show how steady the machine was. `× Envoy` is the median of the ratios round by round, so that a busy
neighbour slows both sides of it. `core busy` well below 100 % means that the contender was waiting for load or
backend. A contender with one failed request has failed. Absolute figures depend on the machine; compare ratios.
"""


def page(tables: Mapping[Scenario, str], versions: Mapping[str, str], plan: Plan, day: date) -> str:
    return PAGE.format(
        day=day.isoformat(),
        cpu=_cpu(),
        cores=os.cpu_count(),
        kernel=platform.release().partition("-")[0],
        python=platform.python_version(),
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
        sections="\n\n".join(f"## {scenario.title}\n\n{text}" for scenario, text in tables.items()),
        rounds=plan.rounds,
        seconds=plan.seconds,
    )


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
