"""What an experiment hands back: its table, and how its figures stand to what was aimed at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row of the table of aims: what was measured, what it should reach, and what it did."""

    what: str
    reach: str
    figure: str
    reached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an experiment found: `text` is Markdown, `bars` are ratios to Envoy by contender, for the chart.

    It is not `clean` when a request failed that should not have.
    """

    name: str
    title: str
    text: str
    findings: tuple[Finding, ...] = ()
    bars: Mapping[str, float] = field(default_factory=dict)
    clean: bool = True


def at_least(what: str, figure: float, reach: float, unit: str) -> Finding:
    """A ratio that should not be lower."""
    return Finding(
        what=what, reach=f"at least {reach:g} × {unit}", figure=f"{figure:.2f} ×", reached=round(figure, 2) >= reach
    )


def below(what: str, figure: float, limit: float, unit: str) -> Finding:
    """A quantity that should stay under a limit."""
    shown = f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
    return Finding(what=what, reach=f"under {limit:g} {unit}", figure=f"{shown} {unit}", reached=figure < limit)


def verdicts(findings: tuple[Finding, ...]) -> list[tuple[str, ...]]:
    return [(each.what, each.reach, each.figure, "yes" if each.reached else "**no**") for each in findings]
