"""The page `docs/simulation.md`, its tables and its chart; playing goes elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.report.chart import STYLE
from benchmarks.report.table import table
from benchmarks.servers import ROOT
from benchmarks.simulation.fleet import Plan, Seen

FILE = ROOT / "docs" / "simulation.md"
CHART = ROOT / "docs" / "simulation.svg"

PAGE = """# A fleet, simulated

Made by `python -m benchmarks.simulation --write`: {endpoints:,} endpoints and {gateways} gateways in virtual time.
Service, balancers, policies and filters are the real code; only the network and the servers behind it are played. Each
gateway knows nothing of the others.

A server works on {slots} requests at a time and lets the others wait; a request takes {mean_ms:.0f} ms on average
(exponential), and on one server in ten twice as long. Requests come at random moments, {rate:,.0f} in a second for
{seconds:g} s: {utilisation:.0%} of what the fleet can do. It is a young fleet: all gateways begin at the same moment.

## The spread of load

{spread}

Load is the number of requests that a server got, as a multiple of the mean, which is {per_server:.0f}. A gateway sees
its own share of the load alone: hardly ever has a server two of its requests at once, so that `least_connections` goes
round as `round_robin` does. Turns spread the number of requests best; `two_choices` and `peak_ewma` send fewer to the
slow servers.

![Time of answers by balancer](simulation.svg)

## An outage

A part of the servers answers 503 at once; the gateways go round (`round_robin`), at {outage:.0%} of what the fleet can
do.

{outages}

Load is what all servers got, as a multiple of what clients asked for. With everything failing no attempt can help, and
the budget keeps it near 1.2; without one it grows with the attempts. In so short a time a gateway asks each server less
than once, so that `outlier`, which judges by what its own gateway has seen, takes nearly none of them out.
"""


def write_page(
    plan: Plan, spreads: Sequence[tuple[str, Seen]], outages: Sequence[tuple[str, float, Seen]], *, write: bool
) -> str:
    """Return the page, and write it with its chart if that is wanted."""
    text = PAGE.format(
        endpoints=plan.endpoints,
        gateways=plan.gateways,
        slots=plan.slots,
        mean_ms=plan.mean_s * 1000,
        rate=plan.rate,
        seconds=plan.seconds,
        utilisation=plan.utilisation,
        per_server=plan.rate * plan.seconds / plan.endpoints,
        spread=_spread(spreads),
        outage=0.4,
        outages=_outages(outages),
    )
    if write:
        FILE.write_text(text, "utf-8")
        CHART.write_text(_chart(spreads), "utf-8")
    return text


def _spread(spreads: Sequence[tuple[str, Seen]]) -> str:
    rows = []
    for name, seen in spreads:
        mean = sum(seen.loads) / len(seen.loads)
        loads = sorted(load / mean for load in seen.loads)
        shown = (_at(loads, share) for share in (0.0, 0.01, 0.5, 0.99, 1.0))
        times = sorted(seen.times)
        rows.append(
            (
                f"`{name}`",
                *(f"{load:.2f}" for load in shown),
                f"{_at(times, 0.5) * 1e3:.0f}",
                f"{_at(times, 0.99) * 1e3:.0f}",
                f"{seen.longest_queue}",
            )
        )
    headings = ("balancer", "least load", "p1", "median", "p99", "most", "p50 ms", "p99 ms", "longest queue")
    return table(headings, rows)


def _outages(outages: Sequence[tuple[str, float, Seen]]) -> str:
    rows = [
        (
            name,
            f"{share:.0%}",
            f"{1 - seen.failed / seen.asked:.2%}",
            f"{sum(seen.loads) / seen.asked:.3f}",
            f"{_at(sorted(seen.times), 0.99) * 1e3:.0f}",
        )
        for name, share, seen in outages
    ]
    return table(("what is done", "servers failing", "answered well", "load ×", "p99 ms"), rows)


def _at(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


WIDTH, LEFT, RIGHT, TOP, ROW = 760, 170, 70, 40, 34


def _chart(spreads: Sequence[tuple[str, Seen]]) -> str:
    """Draw the median and the 99th percentile of the time of answers, a row each balancer."""
    times = {name: sorted(seen.times) for name, seen in spreads}
    longest = max(_at(each, 0.99) for each in times.values()) or 1.0
    height = TOP + ROW * len(times) + 10
    title = "Time of answers by balancer, in milliseconds"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">',
        f"<title>{title}</title>",
        f"<style>{STYLE}</style>",
        *_legend(LEFT, "#d9480f", "p50 ms"),
        *_legend(LEFT + 90, "#8a8f98", "p99 ms"),
    ]
    for number, (name, each) in enumerate(times.items()):
        top = TOP + number * ROW
        parts.append(f'<text x="{LEFT - 8}" y="{top + 16}" text-anchor="end">{escape(name)}</text>')
        for line, (share, colour) in enumerate(((0.5, "#d9480f"), (0.99, "#8a8f98"))):
            value = _at(each, share)
            width = value / longest * (WIDTH - LEFT - RIGHT)
            y = top + line * 13
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="11" rx="2" fill="{colour}"/>')
            x = LEFT + width + 5
            parts.append(f'<text class="figure" x="{x:.1f}" y="{y + 9}">{value * 1e3:.0f}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _legend(x: int, colour: str, text: str) -> tuple[str, str]:
    box = f'<rect x="{x}" y="12" width="12" height="12" rx="2" fill="{colour}"/>'
    return box, f'<text x="{x + 17}" y="22">{text}</text>'
