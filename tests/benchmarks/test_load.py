from __future__ import annotations

import pytest

from benchmarks.load import sample_of
from benchmarks.scenario import PLAIN
from benchmarks.servers import BenchmarkError

OUTPUT = """Running 2s test @ http://127.0.0.1:1/hello
Requests/sec:   5000.00

{"requests": 10000, "duration_us": 2000000, "bytes": 2500000, "p50_us": 1500, "p99_us": 4250, "errors": 2}
"""


def test_a_sample_is_read_from_the_last_line() -> None:
    sample = sample_of(OUTPUT, PLAIN, busy=0.5)

    assert (sample.requests_per_s, sample.p50_ms, sample.p99_ms, sample.errors) == (5000, 1.5, 4.25, 2)


def test_answers_shorter_than_the_backends_body_end_the_run() -> None:
    with pytest.raises(BenchmarkError, match="expected 100 bytes an answer"):
        sample_of(OUTPUT.replace("2500000", "250000"), PLAIN, busy=0.5)
