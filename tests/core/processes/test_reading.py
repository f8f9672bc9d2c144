"""What is read on the control side, once a version."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshwright.processes.reading import check
from meshwright_sdk import ConfigDocument

YAML = "routes: [{to: s}, {to: s}]\nservices: {s: {endpoints: ['http://127.0.0.1:1']}}"


def test_a_route_that_no_request_can_reach_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check(ConfigDocument(text=YAML, name="gateway.yaml", base_dir=tmp_path))

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.startswith("gateway.yaml:1: routes[1]: expected a route that some request can reach")
