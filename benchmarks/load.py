"""One run of wrk against one port, and what it measured."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scenario import Scenario
from benchmarks.servers import BenchmarkError, Process, cpu_seconds, pinned, program

REPORT = Path(__file__).with_name("report.lua")
GRACE_S = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run of wrk saw. `errors` counts socket errors, timeouts and every status of 400 or more.

    `busy` is the share of its core that the contender used: well below 1 it was not the bottleneck.
    """

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    busy: float


def measure(process: Process, port: int, scenario: Scenario, *, seconds: int, core: int) -> Sample:
    """Load the port for so many seconds, from the given core."""
    cpu_s, began_s = cpu_seconds(process), time.monotonic()
    output = wrk(port, scenario, seconds=seconds, core=core)
    busy = (cpu_seconds(process) - cpu_s) / (time.monotonic() - began_s)
    return sample_of(output, scenario, busy=busy)


def wrk(port: int, scenario: Scenario, *, seconds: int, core: int) -> str:
    url = f"http://127.0.0.1:{port}{scenario.path}"
    load = ["-t1", f"-c{scenario.connections}", f"-d{seconds}s", "-s", str(REPORT), url]
    command = pinned(core, [program("wrk"), *load])
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds + GRACE_S)
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"wrk: expected it to end after {seconds} s; got {GRACE_S} s more") from error
    if done.returncode != 0:
        raise BenchmarkError(f"wrk: ended with code {done.returncode}\n{done.stderr}")
    return done.stdout


def sample_of(output: str, scenario: Scenario, *, busy: float) -> Sample:
    """Read the last line of wrk's output, which the script `report.lua` wrote."""
    seen = json.loads(output.splitlines()[-1])
    if seen["bytes"] < seen["requests"] * len(scenario.body):
        raise BenchmarkError(f"wrk: expected {len(scenario.body)} bytes an answer or more; got fewer")
    return Sample(
        requests_per_s=seen["requests"] / (seen["duration_us"] / 1e6),
        p50_ms=seen["p50_us"] / 1e3,
        p99_ms=seen["p99_us"] / 1e3,
        errors=seen["errors"],
        busy=busy,
    )
