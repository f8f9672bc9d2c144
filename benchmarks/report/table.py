"""Medians, ratios and tables, from samples alone. Nothing here measures or prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.load.sample import Sample

REFERENCE = "envoy"

Samples = Mapping[str, Sequence[Sample]]
Row = Sequence[str]


def failed(samples: Sequence[Sample]) -> bool:
    """Tell whether a single request of a single round failed: such figures count for nothing."""
    return any(sample.errors for sample in samples)


def ratio(own: Sequence[Sample], reference: Sequence[Sample]) -> float:
    """Compare round by round, then take the median: the rounds of one turn had the same neighbours."""
    pairs = zip(own, reference, strict=True)
    return median(mine.requests_per_s / theirs.requests_per_s for mine, theirs in pairs)


def ratios(results: Samples, reference: str = REFERENCE) -> dict[str, float]:
    """Give the ratio of each to the reference, of those without a failed request; none without a sound reference."""
    theirs = results.get(reference)
    if theirs is None or failed(theirs):
        return {}
    return {name: ratio(own, theirs) for name, own in results.items() if not failed(own)}


def comparison(results: Samples, *, unit: str = "requests", reference: str = REFERENCE) -> str:
    """Lay the results of a tournament out in Markdown."""
    compared = ratios(results, reference)
    shown = "Envoy" if reference == REFERENCE else reference
    headings = (
        "contender",
        f"{unit}/s",
        "min",
        "max",
        f"× {shown}",
        "p50 ms",
        "p99 ms",
        "core busy",
        "CPU µs",
        "errors",
    )
    return table(headings, [_row(name, samples, compared.get(name)) for name, samples in results.items()])


def table(headings: Row, rows: Sequence[Row], *, left: int = 1) -> str:
    """Lay rows out in Markdown, in columns that a terminal shows straight; the first `left` of them are texts."""
    lines = [headings, *rows]
    widths = [max(len(row[column]) for row in lines) for column in range(len(headings))]
    rule = "|".join(
        ["", *("-" * (width + 2) if n < left else "-" * (width + 1) + ":" for n, width in enumerate(widths)), ""]
    )
    first, *others = [_line(row, widths, left) for row in lines]
    return "\n".join([first, rule, *others])


def _row(name: str, samples: Sequence[Sample], compared: float | None) -> Row:
    errors = sum(sample.errors for sample in samples)
    if errors:
        return (name, "failed", "", "", "", "", "", "", "", f"{errors:,}")
    rates = [sample.requests_per_s for sample in samples]
    return (
        name,
        *(f"{rate:,.0f}" for rate in (median(rates), min(rates), max(rates))),
        "–" if compared is None else f"{compared:.2f}",
        f"{median(sample.p50_ms for sample in samples):.2f}",
        f"{median(sample.p99_ms for sample in samples):.2f}",
        f"{median(sample.busy for sample in samples):.0%}",
        f"{median(sample.busy / sample.requests_per_s * 1e6 for sample in samples):.1f}",
        "0",
    )


def _line(row: Row, widths: Sequence[int], left: int) -> str:
    pairs = enumerate(zip(row, widths, strict=True))
    cells = [cell.ljust(width) if n < left else cell.rjust(width) for n, (cell, width) in pairs]
    return f"| {' | '.join(cells)} |"
