"""The chart: one group of bars a scenario, each bar a contender's throughput relative to Envoy, as SVG."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

WIDTH, LEFT, RIGHT = 760, 118, 64
BAR, GAP, TOP, BOTTOM = 13, 14, 44, 30
LONGEST = 4.0
"""A bar of more than so many times Envoy is cut there; its figure stands beside it all the same."""

CONTENDERS = ("meshwright", "envoy", "nginx", "haproxy", "caddy")
COLOURS = ("#d9480f", "#8a8f98", "#2f9e5b", "#3b7dd8", "#9a6fd0")

# One picture for light and dark pages: the browser tells which it is.
STYLE = """
    text { font: 12px system-ui, sans-serif; fill: #24292f }
    .figure { font-size: 10px }
    .grid { stroke: #24292f; stroke-opacity: .15 }
    .one { stroke: #24292f; stroke-opacity: .6; stroke-dasharray: 3 3 }
    @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .grid, .one { stroke: #e6edf3 } }
"""

Groups = Mapping[str, Mapping[str, float]]


def chart(groups: Groups) -> str:
    """Draw ratios by contender, by scenario. Contenders that have none in a scenario have no bar there."""
    height = TOP + BOTTOM + sum(_height(bars) for bars in groups.values())
    parts = [*_legend(), *_grid(height)]
    top = TOP
    for name, bars in groups.items():
        parts += _group(name, bars, top)
        top += _height(bars)
    title = "Throughput on one core, relative to Envoy"
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">'
    return "\n".join([opening, f"<title>{title}</title>", f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def _height(bars: Mapping[str, float]) -> int:
    return len(bars) * BAR + GAP


def _x(ratio: float) -> float:
    return LEFT + min(ratio, LONGEST) / LONGEST * (WIDTH - LEFT - RIGHT)


def _legend() -> list[str]:
    parts = []
    for n, (name, colour) in enumerate(zip(CONTENDERS, COLOURS, strict=True)):
        x = LEFT + n * 105
        parts.append(f'<rect x="{x}" y="12" width="12" height="12" rx="2" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="22">{name}</text>')
    return parts


def _grid(height: int) -> list[str]:
    parts = []
    for ratio in range(int(LONGEST) + 1):
        x, kind = _x(ratio), "one" if ratio == 1 else "grid"
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - BOTTOM + 16}" text-anchor="middle">{ratio} ×</text>')
    return parts


def _group(name: str, bars: Mapping[str, float], top: int) -> list[str]:
    middle = top + len(bars) * BAR / 2 + 4
    parts = [f'<text x="{LEFT - 8}" y="{middle:.1f}" text-anchor="end">{escape(name)}</text>']
    for n, (contender, ratio) in enumerate(bars.items()):
        y, colour = top + n * BAR, COLOURS[CONTENDERS.index(contender)]
        bar = f'x="{LEFT}" y="{y}" width="{_x(ratio) - LEFT:.1f}" height="{BAR - 2}"'
        parts.append(f'<rect {bar} rx="2" fill="{colour}"/>')
        parts.append(f'<text class="figure" x="{_x(ratio) + 5:.1f}" y="{y + 9}">{ratio:.2f}</text>')
    return parts
