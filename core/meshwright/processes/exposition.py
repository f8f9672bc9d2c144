"""Metrics of several workers as one page of Prometheus text; what is counted goes elsewhere."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TypedDict

from meshwright_sdk.metrics import Family, Histogram, Labels, Metric, Metrics

logger = logging.getLogger("meshwright.metrics")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Sample(TypedDict):
    """One metric at one moment.

    `values` is the one number of a counter or gauge, or the counts of a histogram's buckets and its sum;
    `bounds` is empty but for a histogram.
    """

    labels: dict[str, str]
    bounds: Sequence[float]
    values: Sequence[float]


class FamilyDump(TypedDict):
    """Every sample of one name, as JSON can carry it between processes."""

    name: str
    kind: str
    help: str
    samples: list[Sample]


Dump = Sequence[FamilyDump]


def dump(metrics: Metrics) -> list[FamilyDump]:
    """Return what `metrics` holds now; a metric whose `read` raises is left out and logged."""
    return [_dump_family(family) for family in metrics.families.values()]


def add_up(dumps: Iterable[Dump]) -> list[FamilyDump]:
    """Return one dump, by name, in which the values of equal name and labels are added.

    What cannot be added to the first of its name (another kind, a histogram of other bounds) is left out.
    """
    totals: dict[str, FamilyDump] = {}
    samples: dict[str, dict[Labels, Sample]] = {}
    for family in (family for each in dumps for family in each):
        name = family["name"]
        if totals.setdefault(name, family)["kind"] == family["kind"]:
            _add_samples(samples.setdefault(name, {}), family["samples"])
    return [{**totals[name], "samples": list(samples[name].values())} for name in sorted(totals)]


def without_gauges(families: Dump) -> list[FamilyDump]:
    """Return only what may never go back."""
    return [family for family in families if family["kind"] != "gauge"]


def render(families: Dump) -> str:
    """Return the Prometheus text format, version 0.0.4."""
    return "".join(line for family in families for line in _lines(family))


def _dump_family(family: Family) -> FamilyDump:
    read = ((labels, metric, _values(family.name, metric)) for labels, metric in family.metrics.items())
    samples: list[Sample] = [
        {"labels": dict(labels), "bounds": metric.bounds if isinstance(metric, Histogram) else (), "values": values}
        for labels, metric, values in read
        if values is not None
    ]
    return {"name": family.name, "kind": family.kind, "help": family.help, "samples": samples}


def _values(name: str, metric: Metric) -> list[float] | None:
    if isinstance(metric, Histogram):
        return [*metric.counts, metric.sum]
    try:
        return [metric.value if metric.read is None else metric.read()]
    except Exception:
        logger.warning("metric %s: its read function raised", name, exc_info=True)
        return None


def _add_samples(totals: dict[Labels, Sample], samples: Iterable[Sample]) -> None:
    for sample in samples:
        key = tuple(sorted(sample["labels"].items()))
        present = totals.setdefault(key, sample)
        if present is not sample and list(present["bounds"]) == list(sample["bounds"]):
            sums = [a + b for a, b in zip(present["values"], sample["values"], strict=True)]
            totals[key] = {**present, "values": sums}


def _lines(family: FamilyDump) -> Iterator[str]:
    name = family["name"]
    yield f"# HELP {name} {_escape_help(family['help'])}\n"
    yield f"# TYPE {name} {family['kind']}\n"
    for sample in family["samples"]:
        if family["kind"] == "histogram":
            yield from _histogram_lines(name, sample)
        else:
            yield f"{name}{_labels(sample['labels'])} {_number(sample['values'][0])}\n"


def _histogram_lines(name: str, sample: Sample) -> Iterator[str]:
    """Yield the cumulative buckets, `+Inf` last, then sum and count."""
    labels = sample["labels"]
    *counts, total = sample["values"]
    cumulative = list(accumulate(counts))
    for bound, reached in zip((*sample["bounds"], math.inf), cumulative, strict=True):
        yield f"{name}_bucket{_labels({**labels, 'le': _number(bound)})} {_number(reached)}\n"
    yield f"{name}_sum{_labels(labels)} {_number(total)}\n"
    yield f"{name}_count{_labels(labels)} {_number(cumulative[-1])}\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape_label(value)}"' for name, value in labels.items()) + "}"


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_label(text: str) -> str:
    return _escape_help(text).replace('"', '\\"')
