"""What an experiment is, and what it is given. Each one has a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.contenders.contender import Contender
from benchmarks.report.finding import Report
from benchmarks.tournament import Plan, Say


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What one run was asked for: how long, against whom, and where to tell of progress."""

    plan: Plan
    contenders: Sequence[Contender]
    say: Say

    def has(self, name: str) -> bool:
        """Tell whether a contender takes part."""
        return any(each.name == name for each in self.contenders)


class Experiment(Protocol):
    """Measures one row of the table of aims, or some of them."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    def run(self, bench: Bench) -> Report:
        """Measure; raises BenchmarkError when that is not possible. What was started is stopped again."""
        ...
