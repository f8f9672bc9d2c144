"""Running a load generator to its end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from benchmarks.servers import ROOT, BenchmarkError, pinned

GRACE_S = 15


def run(name: str, command: Sequence[str], *, seconds: float, cores: str) -> str:
    """Run it on its cores and return what it printed; raise when it fails or goes on for too long."""
    try:
        done = subprocess.run(
            pinned(cores, command), check=False, cwd=ROOT, capture_output=True, text=True, timeout=seconds + GRACE_S
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"{name}: expected it to end after {seconds} s; got {GRACE_S} s more") from error
    if done.returncode != 0:
        raise BenchmarkError(f"{name}: ended with code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
