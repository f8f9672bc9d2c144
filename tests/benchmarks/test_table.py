from __future__ import annotations

from datetime import date

from benchmarks.load import Sample
from benchmarks.page import page
from benchmarks.scenario import PLAIN
from benchmarks.table import failed, ratio, table
from benchmarks.tournament import Plan


def samples(*rates: float, errors: int = 0) -> list[Sample]:
    return [Sample(requests_per_s=rate, p50_ms=1.25, p99_ms=4.0, errors=errors, busy=0.97) for rate in rates]


def test_the_ratio_compares_round_with_round_so_that_a_slow_turn_hurts_both() -> None:
    steady, slowed = [100.0, 100.0, 100.0], [200.0, 200.0, 50.0]

    assert ratio(samples(200, 200, 200), samples(*steady)) == 2
    assert ratio(samples(400, 400, 100), samples(*slowed)) == 2


def test_a_row_holds_median_extremes_and_ratio() -> None:
    text = table({"meshwright": samples(1500, 3000, 2400), "envoy": samples(1500, 2000, 2000)})
    row = [cell.strip() for cell in text.splitlines()[2].strip("|").split("|")]

    assert row == ["meshwright", "2,400", "1,500", "3,000", "1.20", "1.25", "4.00", "97%", "0"]


def test_every_line_has_the_same_width() -> None:
    text = table({"meshwright": samples(12345.6), "envoy": samples(9), "nginx": samples(1, errors=3)})

    assert len({len(line) for line in text.splitlines()}) == 1


def test_one_failed_request_fails_the_contender() -> None:
    runs = [*samples(9000), *samples(9000, errors=1)]

    assert failed(runs)
    assert "9,000" not in table({"meshwright": runs})
    assert "failed" in table({"meshwright": runs})


def test_no_ratio_is_given_without_a_sound_reference() -> None:
    assert "–" in table({"meshwright": samples(10)})
    assert "–" in table({"meshwright": samples(10), "envoy": samples(10, errors=1)})


def test_the_page_tells_what_was_run_and_how() -> None:
    text = page({PLAIN: "| a table |"}, {"envoy": "1.2.3"}, Plan(rounds=7, seconds=3), date(2026, 1, 2))

    for fact in ("2026-01-02", "envoy 1.2.3", "7 rounds of 3 s", f"## {PLAIN.title}\n\n| a table |"):
        assert fact in text
