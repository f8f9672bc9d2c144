"""What one run of a load generator saw, as every generator prints it. Starting one does not go in here."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`errors` counts socket errors, timeouts, wrong answers and every status of 400 or more.

    A request is a message or an event in the scenarios that stream these. `busy` is the share of one core that the
    contender used: well below 1 it was not the bottleneck.
    """

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    bytes: int
    requests: int
    busy: float = 0.0


def sample_of(output: str) -> Sample:
    """Read the last line of a generator's output."""
    seen = json.loads(output.splitlines()[-1])
    return Sample(
        requests_per_s=seen["requests"] / (seen["duration_us"] / 1e6),
        p50_ms=seen["p50_us"] / 1e3,
        p99_ms=seen["p99_us"] / 1e3,
        errors=seen["errors"],
        bytes=seen["bytes"],
        requests=seen["requests"],
    )
