from __future__ import annotations

from benchmarks.load.sample import sample_of

OUTPUT = """Running 2s test @ http://127.0.0.1:1/hello
Requests/sec:   5000.00

{"requests": 10000, "duration_us": 2000000, "bytes": 2500000, "p50_us": 1500, "p99_us": 4250, "errors": 2}
"""


def test_a_sample_is_read_from_the_last_line() -> None:
    sample = sample_of(OUTPUT)

    assert (sample.requests_per_s, sample.p50_ms, sample.p99_ms, sample.errors) == (5000, 1.5, 4.25, 2)
