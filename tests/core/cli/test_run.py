"""`meshwright run`: its options, and how a start that fails is told. The rest of running is tested end to end."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.cli.conftest import Call


def test_it_runs_with_the_workers_asked_for_until_it_is_told_to_end(gateway: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "meshwright", "run", str(gateway), "--workers=2", "--grace=1s", "--log-level=warning"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.terminate()
    _, errors = process.communicate(timeout=30)

    assert "listening on http://127.0.0.1:" in line
    assert "2 workers" in line
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    "arguments", [("--grace", "30"), ("--workers", "0"), ("--log-level", "loud")], ids=lambda pair: pair[0]
)
def test_options_are_checked_before_anything_starts(call: Call, gateway: Path, arguments: tuple[str, str]) -> None:
    result = call("run", "gateway.yaml", *arguments)

    assert result.exit_code == 2
    assert arguments[0] in result.stderr


def started(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "meshwright", "run", str(file)], capture_output=True, text=True, timeout=30, check=False
    )


def test_a_wrong_file_ends_the_start_with_every_problem(gateway: Path) -> None:
    gateway.write_text("listenrs: []\nroutes: 3\n", "utf-8")

    done = started(gateway)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("2 problems\n")
    assert "Traceback" not in done.stderr


def test_a_port_in_use_ends_the_start_with_its_line(gateway: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        gateway.write_text(gateway.read_text("utf-8").replace("127.0.0.1:0", address, 1), "utf-8")
        done = started(gateway)

    assert done.returncode == 1
    assert f"gateway.yaml:2: listeners[0].bind: expected a free address; got {address}, which is in use" in done.stderr
    assert "Traceback" not in done.stderr
