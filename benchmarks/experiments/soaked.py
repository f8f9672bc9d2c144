"""The soak as a row of the table of aims: a minute of what `make soak` does for as long as one likes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from benchmarks.experiments.experiment import Bench
from benchmarks.report.finding import Finding, Report
from benchmarks.soak.report import summary
from benchmarks.soak.run import soak

SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """Nothing may be left in the gateway, and no answer may be wrong."""

    name: str = "soak"
    title: str = f"soak: {SECONDS:.0f} s of mixed traffic, clients and upstreams break off at random"

    def run(self, bench: Bench) -> Report:
        seed = time.time_ns() % 1_000_000
        outcome = asyncio.run(soak(SECONDS, bench.plan.cores, bench.say, seed))
        problems = outcome.problems
        figure = f"{len(problems)} found" if problems else "none"
        finding = Finding(what=self.title, reach="no leak, no wrong answer", figure=figure, reached=not problems)
        text = "\n".join([summary(outcome), *(f"\nLEFT: {problem}" for problem in problems)])
        return Report(name=self.name, title=self.title, text=text, findings=(finding,), clean=not outcome.tally.wrong)
