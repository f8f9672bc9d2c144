"""Load reports in every notation; the binary ones are the specification's own examples or made here by hand."""

from __future__ import annotations

import base64
import json
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright_plugins.policies.load_weights.report import read_base64, read_header, read_json

OF_THE_SPECIFICATION = b"CZqZmZmZmbk/MQAAAAAAAABAQg4KA2ZvbxGamZmZmZm5P0IOCgNiYXIRmpmZmZmZyT8="
BINARY = {"cpu_utilization": 0.1, "rps_fractional": 2.0, "named_metrics.foo": 0.1, "named_metrics.bar": 0.2}


def double(number: int, value: float) -> bytes:
    return bytes([number << 3 | 1]) + struct.pack("<d", value)


def entry(number: int, name: str, value: float) -> bytes:
    content = b"\x0a" + bytes([len(name)]) + name.encode() + double(2, value)
    return bytes([number << 3 | 2, len(content)]) + content


@pytest.mark.parametrize(
    ("header", "report"),
    [
        (b"TEXT cpu_utilization=0.3", {"cpu_utilization": 0.3}),
        (
            b"TEXT cpu_utilization=0.3, mem_utilization=0.8,rps_fractional=10.0 ,eps=1,named_metrics.x=0.4",
            {
                "cpu_utilization": 0.3,
                "mem_utilization": 0.8,
                "rps_fractional": 10.0,
                "eps": 1.0,
                "named_metrics.x": 0.4,
            },
        ),
        (b"TEXT cpu_utilization:0.3,", {"cpu_utilization": 0.3}),
        (b"TEXT ", {}),
        (
            b'JSON {"cpu_utilization": 0.3, "named_metrics": {"a-b": 1}}',
            {"cpu_utilization": 0.3, "named_metrics.a-b": 1.0},
        ),
        (
            b'JSON {"cpuUtilization": "0.3", "namedMetrics": {"aB": 1}}',
            {"cpu_utilization": 0.3, "named_metrics.aB": 1.0},
        ),
        (b"JSON {}", {}),
        (b"BIN " + OF_THE_SPECIFICATION, BINARY),
        (b"BIN " + OF_THE_SPECIFICATION.rstrip(b"="), BINARY),
        (b"BIN ", {}),
    ],
)
def test_a_header_is_read_in_each_notation(header: bytes, report: dict[str, float]) -> None:
    assert read_header(header) == report


def test_every_field_of_the_protobuf_has_its_name() -> None:
    message = b"".join(
        [
            double(1, 0.5),
            double(2, 0.25),
            b"\x18\xac\x02",  # the old rps, as a varint
            entry(4, "db", 3.0),
            entry(5, "gpu", 0.75),
            double(6, 300.0),
            double(7, 2.0),
            entry(8, "queue", 4.0),
            double(9, 0.9),
            b"\x50\x07",  # fields that nobody knows yet: a varint, four bytes, a text
            b"\x5d\x01\x02\x03\x04",
            b"\x62\x02hi",
        ]
    )

    assert read_base64(base64.b64encode(message)) == {
        "cpu_utilization": 0.5,
        "mem_utilization": 0.25,
        "rps": 300.0,
        "request_cost.db": 3.0,
        "utilization.gpu": 0.75,
        "rps_fractional": 300.0,
        "eps": 2.0,
        "named_metrics.queue": 4.0,
        "application_utilization": 0.9,
    }


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"cpu_utilization=0.3",
        b"text cpu_utilization=0.3",
        b"TEXT cpu_utilization",
        b"TEXT cpu_utilization=",
        b"TEXT cpu_utilization=high",
        b"TEXT cpu_utilization=-0.1",
        b"TEXT cpu_utilization=nan",
        b"TEXT cpu_utilization=inf",
        b'JSON {"cpu_utilization": true}',
        b'JSON {"cpu_utilization": null}',
        b'JSON {"cpu_utilization": [1]}',
        b'JSON {"cpu_utilization": 1e999}',
        b'JSON {"named_metrics": {"a": {"b": 1}}}',
        b"JSON [1]",
        b"JSON {",
        b"JSON " + b"[" * 8000,
        b'JSON {"a": ' + b"1" * 5000 + b"}",
        b"BIN *",
        b"BIN CZqZ",
        b"BIN " + base64.b64encode(b"\x0b"),
        b"BIN " + base64.b64encode(b"\xff" * 20),
        b"BIN " + base64.b64encode(b"\x0a\x7f"),
        b"BIN " + base64.b64encode(double(1, float("nan"))),
        b"BIN " + base64.b64encode(double(1, -1.0)),
        b"TEXT cpu_utilization=0.3," + b" " * 8192,
    ],
)
def test_what_is_no_report_is_refused(header: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_header(header)


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda raw: b"BIN " + base64.b64encode(raw)))
def test_whatever_comes_is_read_or_refused(value: bytes) -> None:
    for read in (read_header, read_base64, read_json, lambda content: read_header(b"TEXT " + content)):
        with suppress(ValueError):
            assert all(number >= 0 for number in read(value).values())


@given(
    st.dictionaries(
        st.sampled_from(["cpu_utilization", "rps_fractional", "eps", "application_utilization"]),
        st.floats(min_value=0, max_value=1e9),
    )
)
def test_the_notations_say_the_same(report: dict[str, float]) -> None:
    numbers = {"cpu_utilization": 1, "rps_fractional": 6, "eps": 7, "application_utilization": 9}
    binary = base64.b64encode(b"".join(double(numbers[name], value) for name, value in report.items()))
    text = ", ".join(f"{name}={value!r}" for name, value in report.items())

    assert read_header(b"BIN " + binary) == report
    assert read_header(b"TEXT " + text.encode()) == report
    assert read_header(b"JSON " + json.dumps(report).encode()) == report
