from __future__ import annotations

import logging
import subprocess
import sys

from meshwright.processes.logs import LineFormatter


def record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error is not None else None
    made = logging.LogRecord("meshwright.control", logging.WARNING, __file__, 1, message, None, info)
    made.created, made.msecs = 1_700_000_000.25, 250.0
    return made


def failure() -> BaseException:
    try:
        raise ValueError("no\nsuch thing")
    except ValueError as error:
        return error


def test_a_record_is_one_line_with_its_time_in_utc() -> None:
    assert LineFormatter().format(record("all is well")) == (
        "2023-11-14T22:13:20.250Z WARNING meshwright.control: all is well"
    )


def test_the_worker_stands_in_each_line() -> None:
    assert " WARNING worker 3 meshwright.control: " in LineFormatter("3").format(record("all is well"))


def test_a_line_end_in_a_message_cannot_forge_a_record() -> None:
    assert LineFormatter().format(record("GET /\r\n2023 ERROR forged")).endswith("GET /\\r\\n2023 ERROR forged")


def test_a_traceback_follows_indented() -> None:
    first, *rest = LineFormatter().format(record("it failed", failure())).split("\n")

    assert first.endswith("it failed")
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_the_server_underneath_speaks_up_from_warnings_on() -> None:
    program = (
        "import logging; from meshwright.processes.logs import configure_logging; configure_logging(worker='1')\n"
        "logging.getLogger('uvicorn.error').info('Started server process')\n"
        "logging.getLogger('uvicorn.error').warning('Exceeded concurrency limit.')\n"
        "logging.getLogger('meshwright').info('version 1')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    lines = done.stderr.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "WARNING worker 1 uvicorn.error: Exceeded concurrency limit.",
        "INFO worker 1 meshwright: version 1",
    ]
    assert done.stdout == ""
