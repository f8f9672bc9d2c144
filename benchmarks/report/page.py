"""The page `docs/benchmarks.md`: what was aimed at, every table, and what a reader needs to judge or repeat it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from benchmarks.report.chart import chart
from benchmarks.report.finding import Report, verdicts
from benchmarks.report.table import table
from benchmarks.servers import ROOT
from benchmarks.tournament import Plan

FILE = ROOT / "docs" / "benchmarks.md"
CHART = ROOT / "docs" / "benchmarks.svg"

PAGE = """# Benchmarks

Made by `make bench ARGS=--write` on {day}: {cpu}, {cores} cores, Linux {kernel}, Python {python}.
Contenders: {versions}.

{aims}

![Throughput on one core, relative to Envoy](benchmarks.svg)

{sections}

## How it is measured

All run on one machine over loopback. Each contender serves with one process (Envoy: one worker thread; Caddy:
`GOMAXPROCS=1`) pinned to one core; the load and the backend, nginx with a fixed answer, share another core. The load is
wrk with one thread; for WebSocket and events a program of our own, which is the backend too and keeps one message under
way on each of 32 connections. All contenders stay up, and are loaded one after the other, {rounds} rounds of
{seconds} s each after a warm-up. A figure is the median of the rounds; `min` and `max` show how steady the machine was.
`× Envoy` is the median of the ratios round by round, so that a busy neighbour slows both sides of it. `core busy` well
below 100 % means that the contender was waiting for load or backend. A contender with one failed request has failed.
Absolute figures depend on the machine; compare ratios.

nginx, HAProxy and Caddy have no filters of one's own: in that scenario they set the headers by their own directives,
which are fixed rules. With TLS every contender has the same key. An upload is answered when the backend has read it
whole.
"""


def aims(reports: Sequence[Report]) -> str:
    """The table of what was aimed at, and whether it was reached."""
    rows = [row for report in reports for row in verdicts(report.findings)]
    return table(("what", "reach", "figure", "reached"), rows, left=2)


def page(reports: Sequence[Report], versions: Mapping[str, str], plan: Plan, day: date) -> str:
    return PAGE.format(
        day=day.isoformat(),
        cpu=_cpu(),
        cores=os.cpu_count(),
        kernel=platform.release().partition("-")[0],
        python=platform.python_version(),
        versions=", ".join(f"{name} {version}" for name, version in versions.items()),
        aims=aims(reports),
        sections="\n\n".join(f"## {_heading(report.title)}\n\n{report.text}" for report in reports),
        rounds=plan.rounds,
        seconds=plan.seconds,
    )


def write_page(reports: Sequence[Report], versions: Mapping[str, str], plan: Plan, day: date) -> None:
    """Write the page and the chart beside it."""
    FILE.write_text(page(reports, versions, plan, day), "utf-8")
    CHART.write_text(chart({report.name: report.bars for report in reports if report.bars}), "utf-8")


def _heading(title: str) -> str:
    return title[0].upper() + title[1:]


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
