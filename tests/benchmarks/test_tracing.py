"""Tests of loading a process that something looks on; the process is played by hand."""

from __future__ import annotations

import pytest

from benchmarks.load.sample import Sample
from benchmarks.profile.tracing import ENOUGH_REQUESTS, LOADS, Load, requests_of
from benchmarks.servers import BenchmarkError


def answering(requests: list[int], asked_s: list[int]) -> Load:
    def load(seconds: int) -> Sample:
        asked_s.append(seconds)
        return Sample(requests_per_s=0, p50_ms=0, p99_ms=0, errors=0, bytes=0, requests=requests[len(asked_s) - 1])

    return load


def test_one_load_with_enough_answers_is_all() -> None:
    asked_s: list[int] = []

    assert requests_of(answering([ENOUGH_REQUESTS], asked_s), 2) == ENOUGH_REQUESTS
    assert asked_s == [2]


def test_a_load_without_an_answer_is_followed_by_longer_ones() -> None:
    asked_s: list[int] = []

    assert requests_of(answering([0, 1, ENOUGH_REQUESTS], asked_s), 2) == ENOUGH_REQUESTS + 1
    assert asked_s == [2, 4, 8]


def test_a_process_that_never_answers_ends_the_profile() -> None:
    with pytest.raises(BenchmarkError, match="got 0"):
        requests_of(answering([0] * LOADS, []), 1)
