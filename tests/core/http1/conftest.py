"""What the protocol tests share: both event loops, both paces, and no error that nobody expected."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from meshwright_sdk import MeshwrightError
from tests.core.http1 import ways


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=[False, True], ids=["whole", "bytewise"])
def bytewise(request: pytest.FixtureRequest) -> bool:
    """Whether the client sends byte by byte."""
    return bool(request.param)


@pytest.fixture(autouse=True)
def way_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The way requests come in by: the direct one, where the test does not say `every_way_in`."""
    name: str = getattr(request, "param", ways.DIRECT)
    monkeypatch.setattr(ways, "current", name)
    return name


@pytest.fixture(autouse=True)
def tests_sweep_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no connection swept at the real time between the times that a test says."""
    monkeypatch.setattr("meshwright.traffic.service._SWEEP_S", 3600.0)


@pytest.fixture(autouse=True)
def no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail when an error was logged; a test that expects one clears it away."""
    yield
    gc.collect(1)  # a task whose failure nobody took says so when it is collected
    records = [*caplog.get_records("call"), *caplog.records]  # those of the test, and those of what it left behind
    errors = [record for record in records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors if not _tells_of_an_aborted_answer(record)] == []


def _tells_of_an_aborted_answer(record: logging.LogRecord) -> bool:
    """Return whether an ASGI server logged the error by which it is told to cut an answer off."""
    error = record.exc_info[1] if record.exc_info else None
    return record.name == "uvicorn.error" and isinstance(error, MeshwrightError)
