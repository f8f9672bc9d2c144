"""What a soak saw, as text."""

from __future__ import annotations

from benchmarks.report.table import table
from benchmarks.soak.run import Outcome

MIB = 1 << 20


def summary(outcome: Outcome) -> str:
    """What was done, how it ended, and what the gateway held before and after."""
    begun = ", ".join(f"{number:,} × {name.replace('_', ' ')}" for name, number in outcome.tally.begun.items())
    ended = ", ".join(f"{number:,} {name}" for name, number in outcome.tally.ended.most_common())
    before, after = outcome.before, outcome.after
    rows = [
        ("memory MiB", f"{before.memory_bytes / MIB:.1f}", f"{after.memory_bytes / MIB:.1f}"),
        ("of it given out by malloc MiB", f"{before.heap_bytes / MIB:.1f}", f"{after.heap_bytes / MIB:.1f}"),
    ]
    rows += [("tasks", f"{len(before.tasks)}", f"{len(after.tasks)}")]
    names = ("blocks", "objects", "files", "connections", "in_flight", "upstream_active", "upstream_waiting")
    rows += [(name.replace("_", " "), f"{getattr(before, name):,}", f"{getattr(after, name):,}") for name in names]
    lines = (
        f"{sum(outcome.tally.begun.values()):,} visits in {outcome.seconds:.0f} s and a warm-up: {begun}.",
        f"They ended: {ended}. The upstream broke off {outcome.upstream_broken:,} times; {outcome.reloads} reloads.",
        "",
        table(("at rest", "before", "after"), rows),
    )
    return "\n".join(lines)
