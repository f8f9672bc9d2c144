"""Experiments that ask every contender the same, and compare what they carry in a second."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.contenders.contender import Contender
from benchmarks.experiments.experiment import Bench
from benchmarks.report.finding import Finding, Report, at_least
from benchmarks.report.table import REFERENCE, comparison, failed, ratios
from benchmarks.scenario import Scenario
from benchmarks.tournament import Entry, play


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Meshwright should carry at least `reach` times what Envoy carries, without one failed request.

    Those not in `only` take no part, where there is such a list.
    """

    scenario: Scenario
    reach: float
    against: str = "Envoy"
    only: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.scenario.name

    @property
    def title(self) -> str:
        return self.scenario.title

    def run(self, bench: Bench) -> Report:
        entries = [Entry(label=each.name, contender=each, scenario=self.scenario) for each in self._of(bench)]
        results = play(entries, bench.plan, bench.say)
        compared = ratios(results)
        return Report(
            name=self.name,
            title=self.title,
            text=comparison(results, unit=self.scenario.unit),
            findings=self._findings(compared) if {"meshwright", REFERENCE} <= results.keys() else (),
            bars=compared,
            clean=not any(map(failed, results.values())),
        )

    def _of(self, bench: Bench) -> list[Contender]:
        return [each for each in bench.contenders if not self.only or each.name in self.only]

    def _findings(self, compared: dict[str, float]) -> tuple[Finding, ...]:
        figure = compared.get("meshwright")
        if figure is None:
            wanted = f"at least {self.reach:g} × {self.against}"
            return (Finding(what=self.title, reach=wanted, figure="requests failed", reached=False),)
        return (at_least(self.title, figure, self.reach, self.against),)
