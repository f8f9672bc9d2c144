"""Medians, ratios and the table, from samples alone. Nothing here measures or prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.load import Sample

REFERENCE = "envoy"
HEADINGS = ("contender", "requests/s", "min", "max", "× Envoy", "p50 ms", "p99 ms", "core busy", "errors")

Samples = Mapping[str, Sequence[Sample]]


def failed(samples: Sequence[Sample]) -> bool:
    """Tell whether a single request of a single round failed: such figures count for nothing."""
    return any(sample.errors for sample in samples)


def ratio(own: Sequence[Sample], reference: Sequence[Sample]) -> float:
    """Compare round by round, then take the median: the rounds of one turn had the same neighbours."""
    pairs = zip(own, reference, strict=True)
    return median(mine.requests_per_s / theirs.requests_per_s for mine, theirs in pairs)


def table(results: Samples) -> str:
    """Lay the results out in Markdown, in columns that a terminal shows straight."""
    rows = [HEADINGS, *(_row(name, samples, results.get(REFERENCE)) for name, samples in results.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [_line(row, widths) for row in rows]
    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
    return "\n".join([lines[0], rule, *lines[1:]])


def _row(name: str, samples: Sequence[Sample], reference: Sequence[Sample] | None) -> tuple[str, ...]:
    errors = sum(sample.errors for sample in samples)
    if failed(samples):
        return (name, "failed", "", "", "", "", "", "", f"{errors:,}")
    rates = [sample.requests_per_s for sample in samples]
    compared = reference is not None and not failed(reference)
    return (
        name,
        *(f"{rate:,.0f}" for rate in (median(rates), min(rates), max(rates))),
        f"{ratio(samples, reference):.2f}" if compared and reference else "–",
        f"{median(sample.p50_ms for sample in samples):.2f}",
        f"{median(sample.p99_ms for sample in samples):.2f}",
        f"{median(sample.busy for sample in samples):.0%}",
        "0",
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0])]
    cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return f"| {' | '.join(cells)} |"
