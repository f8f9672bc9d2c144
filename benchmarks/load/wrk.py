"""One run of wrk against one port."""

from __future__ import annotations

from pathlib import Path

from benchmarks.load.generator import run
from benchmarks.load.sample import Sample, sample_of
from benchmarks.scenario import Scenario
from benchmarks.servers import BenchmarkError, program

REPORT = Path(__file__).with_name("report.lua")


def wrk(port: int, scenario: Scenario, *, seconds: int, cores: str) -> Sample:
    """Load the port for so many seconds."""
    command = wrk_command(port, scenario, seconds=seconds, cores=cores)
    sample = sample_of(run("wrk", command, seconds=seconds, cores=cores))
    if sample.bytes < sample.requests * scenario.answer_bytes:
        raise BenchmarkError(f"wrk: expected {scenario.answer_bytes} bytes an answer or more; got fewer")
    return sample


def wrk_command(port: int, scenario: Scenario, *, seconds: int, cores: str) -> list[str]:
    """The command with one thread for each core; wrk does not verify certificates."""
    threads = len(cores.split(","))
    return [
        program("wrk"),
        *(f"-t{threads}", f"-c{scenario.connections}", f"-d{seconds}s", "-s", str(REPORT)),
        *(f"-H{name}: {value}" for name, value in scenario.headers.items()),
        f"{'https' if scenario.tls else 'http'}://127.0.0.1:{port}{scenario.path}",
        *("--", str(scenario.upload_bytes), str(scenario.routes)),
    ]
