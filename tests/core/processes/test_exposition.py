from __future__ import annotations

import json
import math
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from meshwright.processes.exposition import add_up, dump, render, without_gauges
from meshwright.processes.ledger import Ledger
from meshwright_sdk import Metrics


def sampled(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read a page as Prometheus would; raises ValueError for what is not in the format."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def busy_worker() -> Metrics:
    metrics = Metrics()
    metrics.counter("requests_total", "Requests.", route="orders", status_class="2xx").value = 7
    metrics.gauge("in_flight", "Requests that run.", lambda: 2)
    seconds = metrics.histogram("request_seconds", "Time.", (0.1, 1.0), route="orders")
    for value in (0.05, 0.1, 0.5, 30.0):
        seconds.observe(value)
    return metrics


def test_a_counter_is_written_with_help_type_and_labels() -> None:
    metrics = Metrics()
    metrics.counter("requests_total", "Requests.", route="orders").value = 7

    assert render(dump(metrics)) == (
        '# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total{route="orders"} 7\n'
    )


def test_the_buckets_of_a_histogram_add_up_to_its_count() -> None:
    page = sampled(render(dump(busy_worker())))

    buckets = [page["request_seconds_bucket", (("le", le), ("route", "orders"))] for le in ("0.1", "1.0", "+Inf")]
    assert buckets == [2, 3, 4]
    assert page["request_seconds_count", (("route", "orders"),)] == 4
    assert page["request_seconds_sum", (("route", "orders"),)] == pytest.approx(30.65)


def test_workers_are_added_up_by_name_and_labels() -> None:
    first, second = busy_worker(), busy_worker()
    second.counter("requests_total", "Requests.", route="checkout").value = 1
    over_the_wire = json.loads(json.dumps([dump(first), dump(second)]))

    page = sampled(render(add_up(over_the_wire)))

    assert page["requests_total", (("route", "orders"), ("status_class", "2xx"))] == 14
    assert page["requests_total", (("route", "checkout"),)] == 1
    assert page["in_flight", ()] == 4
    assert page["request_seconds_count", (("route", "orders"),)] == 8


def test_adding_changes_none_of_the_dumps() -> None:
    first = dump(busy_worker())
    before = json.dumps(first)

    add_up([first, dump(busy_worker())])

    assert json.dumps(first) == before


def test_histograms_of_other_bounds_are_left_out_of_the_sum() -> None:
    first, second = Metrics(), Metrics()
    first.histogram("seconds", "Time.", (1.0,)).observe(0.5)
    second.histogram("seconds", "Time.", (2.0,)).observe(0.5)

    assert sampled(render(add_up([dump(first), dump(second)])))["seconds_count", ()] == 1


def test_a_metric_of_another_kind_than_the_first_of_its_name_is_left_out() -> None:
    first, second = Metrics(), Metrics()
    first.counter("things", "Things.").value = 1
    second.gauge("things", "Things.").value = 5

    assert "# TYPE things counter\nthings 1\n" in render(add_up([dump(first), dump(second)]))


def test_a_metric_whose_reading_fails_is_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    metrics = busy_worker()
    metrics.gauge("broken", "Fails.", lambda: 1 / 0)

    page = sampled(render(dump(metrics)))

    assert ("broken", ()) not in page
    assert ("in_flight", ()) in page
    assert "metric broken: its read function raised" in caplog.text


def test_quotes_backslashes_and_line_ends_are_escaped() -> None:
    metrics = Metrics()
    metrics.counter("x", 'Of "a"\nand \\.', route='a "b"\n\\c').value = 1

    page = render(dump(metrics))

    assert page == '# HELP x Of "a"\\nand \\\\.\n# TYPE x counter\nx{route="a \\"b\\"\\n\\\\c"} 1\n'


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_label_value_survives_the_page(value: str) -> None:
    metrics = Metrics()
    metrics.counter("requests_total", 'All "requests"\nand \\ more.', route=value).value = 1

    text = render(dump(metrics))

    assert len([line for line in text.split("\n") if line]) == 3
    assert sampled(text)["requests_total", (("route", value),)] == 1


@pytest.mark.parametrize(
    ("value", "written"), [(math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (3, "3"), (2.5e-7, "2.5e-07")]
)
def test_numbers_are_written_as_prometheus_reads_them(value: float, written: str) -> None:
    metrics = Metrics()
    metrics.gauge("x", "X.").value = value

    assert render(dump(metrics)).endswith(f"\nx {written}\n")


def test_a_dead_workers_counts_stay_and_its_gauges_go() -> None:
    ledger = Ledger()
    ledger.report("0", dump(busy_worker()))
    ledger.report("1", dump(busy_worker()))

    ledger.retire("1")
    page = sampled(render(ledger.total()))

    assert page["requests_total", (("route", "orders"), ("status_class", "2xx"))] == 14
    assert page["request_seconds_count", (("route", "orders"),)] == 8
    assert page["in_flight", ()] == 2


def test_a_replacement_starts_from_nought_and_adds_to_what_its_predecessors_counted() -> None:
    ledger = Ledger()
    for _ in range(3):
        ledger.report("0", dump(busy_worker()))
        ledger.retire("0")
    ledger.report("0", dump(busy_worker()))

    page = sampled(render(ledger.total()))

    assert page["requests_total", (("route", "orders"), ("status_class", "2xx"))] == 28


def test_a_worker_that_dies_before_its_first_report_takes_nothing_away() -> None:
    ledger = Ledger()
    ledger.report("0", dump(busy_worker()))
    before = ledger.total()

    ledger.retire("1")

    assert ledger.total() == before


def test_without_gauges_keeps_counters_and_histograms() -> None:
    assert {family["kind"] for family in without_gauges(dump(busy_worker()))} == {"counter", "histogram"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian package prometheus) is not installed")
def test_promtool_has_nothing_to_object() -> None:
    promtool = shutil.which("promtool")
    assert promtool is not None

    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=render(add_up([dump(busy_worker()), dump(busy_worker())])),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert "parse error" not in checked.stderr
    assert checked.returncode in (0, 3), checked.stderr  # 3: remarks on style alone
