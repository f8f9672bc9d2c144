"""What is read on the control side, once a version."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshwright.processes.reading import Reading, check
from meshwright.processes.worker import LocalWorker
from meshwright.traffic.checked import CheckedConfig, read
from meshwright_sdk import ConfigDocument

YAML = "routes: [{to: s}, {to: s}]\nservices: {s: {endpoints: ['http://127.0.0.1:1']}}"


def test_a_route_that_no_request_can_reach_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check(ConfigDocument(text=YAML, name="gateway.yaml", base_dir=tmp_path))

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.startswith("gateway.yaml:1: routes[1]: expected a route that some request can reach")


async def test_a_worker_in_this_process_takes_what_was_read_already(tmp_path: Path) -> None:
    loads: list[ConfigDocument] = []

    def load(document: ConfigDocument) -> CheckedConfig:
        loads.append(document)
        return read(document)

    document = ConfigDocument(text="listeners: [{name: w, bind: '127.0.0.1:0'}]", name="g.yaml", base_dir=tmp_path)
    reading, worker = Reading(document, load), LocalWorker("0", {})
    await reading.config()
    await worker.prepare(reading, 1)
    await worker.commit(1)
    await worker.stop(0.0)

    assert loads == [document]
