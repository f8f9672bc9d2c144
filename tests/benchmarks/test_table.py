from __future__ import annotations

from dataclasses import replace
from datetime import date
from xml.etree import ElementTree

from benchmarks.load.sample import Sample
from benchmarks.report.chart import chart
from benchmarks.report.finding import Finding, Report, at_least
from benchmarks.report.page import aims, page
from benchmarks.report.table import comparison, failed, ratio, ratios
from benchmarks.tournament import Cores, Plan

PLAN = Plan(rounds=7, seconds=3, cores=Cores(proxy="0", load="1"))


def samples(*rates: float, errors: int = 0) -> list[Sample]:
    seen = Sample(requests_per_s=0, p50_ms=1.25, p99_ms=4.0, errors=errors, bytes=1, requests=1, busy=0.96)
    return [replace(seen, requests_per_s=rate) for rate in rates]


def report(*findings: Finding) -> Report:
    return Report(name="plain", title="a title", text="| a table |", findings=findings)


def test_the_ratio_compares_round_with_round_so_that_a_slow_turn_hurts_both() -> None:
    steady, slowed = [100.0, 100.0, 100.0], [200.0, 200.0, 50.0]

    assert ratio(samples(200, 200, 200), samples(*steady)) == 2
    assert ratio(samples(400, 400, 100), samples(*slowed)) == 2


def test_a_row_holds_median_extremes_ratio_and_cost() -> None:
    text = comparison({"meshwright": samples(1500, 3000, 2400), "envoy": samples(1500, 2000, 2000)})
    row = [cell.strip() for cell in text.splitlines()[2].strip("|").split("|")]

    assert row == ["meshwright", "2,400", "1,500", "3,000", "1.20", "1.25", "4.00", "96%", "400.0", "0"]


def test_every_line_has_the_same_width() -> None:
    text = comparison({"meshwright": samples(12345.6), "envoy": samples(9), "nginx": samples(1, errors=3)})

    assert len({len(line) for line in text.splitlines()}) == 1


def test_one_failed_request_fails_the_contender() -> None:
    runs = [*samples(9000), *samples(9000, errors=1)]

    assert failed(runs)
    assert "9,000" not in comparison({"meshwright": runs})
    assert "failed" in comparison({"meshwright": runs})
    assert ratios({"meshwright": runs, "envoy": samples(1, 1)}) == {"envoy": 1}


def test_no_ratio_is_given_without_a_sound_reference() -> None:
    assert "–" in comparison({"meshwright": samples(10)})
    assert "–" in comparison({"meshwright": samples(10), "envoy": samples(10, errors=1)})


def test_a_figure_is_judged_as_it_is_shown() -> None:
    assert at_least("x", 1.299, 1.3, "Envoy").reached  # 1.30 is what the reader sees
    assert not at_least("x", 1.29, 1.3, "Envoy").reached


def test_the_aims_say_which_were_reached() -> None:
    text = aims([report(at_least("fast", 1.5, 1.3, "Envoy")), report(at_least("slow", 0.5, 1.3, "Envoy"))])

    assert [line.split("|")[4].strip() for line in text.splitlines()[2:]] == ["yes", "**no**"]


def test_the_page_tells_what_was_run_and_how() -> None:
    text = page([report()], {"envoy": "1.2.3"}, PLAN, date(2026, 1, 2))

    for fact in ("2026-01-02", "envoy 1.2.3", "7 rounds of\n3 s", "## A title\n\n| a table |"):
        assert fact in text


def test_the_chart_has_a_bar_for_each_ratio_within_the_picture() -> None:
    root = ElementTree.fromstring(chart({"plain": {"meshwright": 1.25, "nginx": 9.5}, "tls": {"caddy": 0.5}}))
    bars = [each for each in root.iter() if each.tag.endswith("rect") and each.get("height") == "11"]
    figures = [each.text for each in root.iter() if each.get("class") == "figure"]
    width = float(root.attrib["viewBox"].split()[2])

    assert len(bars) == len(figures) == 3
    assert figures == ["1.25", "9.50", "0.50"]
    assert all(float(bar.attrib["x"]) + float(bar.attrib["width"]) < width for bar in bars)
