from __future__ import annotations

import pytest

from meshwright_sdk import Metrics


def test_asking_again_returns_the_same_metric() -> None:
    metrics = Metrics()

    assert metrics.counter("hits_total", "Hits.", a="1", b="2") is metrics.counter("hits_total", "Hits.", b="2", a="1")
    assert metrics.counter("hits_total", "Hits.", a="1") is not metrics.counter("hits_total", "Hits.", a="2")


def test_a_value_equal_to_a_bound_belongs_to_it() -> None:
    seconds = Metrics().histogram("seconds", "Time.", (0.1, 1.0))
    for value in (0.1, 0.11, 1.0, 1.1):
        seconds.observe(value)

    assert seconds.counts == [1, 2, 1]
    assert seconds.sum == pytest.approx(2.31)


def test_one_name_has_one_kind() -> None:
    metrics = Metrics()
    metrics.counter("hits_total", "Hits.")

    with pytest.raises(ValueError, match="metric hits_total: expected kind counter, as before; got gauge"):
        metrics.gauge("hits_total", "Hits.")


@pytest.mark.parametrize("name", ["cache-hits", "9lives", "", "a b", "x\ny", "größe"])
def test_a_name_that_prometheus_cannot_read_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a name of letters, digits and _"):
        Metrics().counter(name, "Hits.")
    with pytest.raises(ValueError, match="expected a name of letters, digits and _"):
        Metrics().counter("hits_total", "Hits.", None, **{name: "1"})


def test_the_label_of_buckets_is_not_to_be_had() -> None:
    with pytest.raises(ValueError, match="got 'le'"):
        Metrics().histogram("seconds", "Time.", le="1")


def test_a_metric_that_was_removed_is_shown_no_longer_and_can_begin_anew() -> None:
    metrics = Metrics()
    metrics.gauge("expiry", "", file="a").value = 1
    metrics.gauge("expiry", "", file="b").value = 2
    for labels in ({"file": "a"}, {"file": "a"}, {"file": "c"}):
        metrics.remove("expiry", **labels)
    metrics.remove("unknown")

    assert list(metrics.families["expiry"].metrics) == [(("file", "b"),)]
    assert metrics.gauge("expiry", "", file="a").value == 0


def test_counters_of_one_label_are_told_apart_by_its_values() -> None:
    metrics = Metrics()
    counters = metrics.counters("answers_total", "Answers.", "result", ("good", "bad"), route="shop")
    counters["bad"].value += 1

    assert metrics.counter("answers_total", "Answers.", result="bad", route="shop").value == 1
    assert list(counters) == ["good", "bad"]
