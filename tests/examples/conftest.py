"""Real processes for the examples: services under uvicorn, gateways under the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
STOP_S = 20.0

Start = Callable[..., str]


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """What a test has started; all of it is told to end, and has to end well."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.send_signal(signal.SIGTERM)
    outputs = [process.communicate(timeout=STOP_S) for process in started]
    # uvicorn ends by the signal itself, when all is closed.
    assert {process.returncode for process in started} <= {0, -signal.SIGTERM}, outputs


@pytest.fixture
def serve(processes: list[subprocess.Popen[str]]) -> Start:
    """Serve an ASGI application of an example on a free port; give its URL."""

    def serve(app: str, folder: Path, **env: str) -> str:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            bound.listen()
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "uvicorn", app, f"--fd={bound.fileno()}", "--log-level=warning"],
                    cwd=folder,
                    env={**os.environ, **env},
                    pass_fds=[bound.fileno()],
                    text=True,
                )
            )
            return f"http://127.0.0.1:{bound.getsockname()[1]}"

    return serve


@pytest.fixture
def run_gateway(processes: list[subprocess.Popen[str]]) -> Start:
    """Run `meshwright run` on an example's YAML; give the URL of its first listener."""

    def run(file: Path, **env: str) -> str:
        process = subprocess.Popen(
            [sys.executable, "-m", "meshwright", "run", str(file), "--grace=2s"],
            env={**os.environ, "WEB_PORT": "0", "ADMIN_PORT": "0", **env},
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"listening on (http://\S+)", line)
        assert found is not None, line
        return found[1]

    return run


def checked(file: Path) -> str:
    """Return what `meshwright check` says about a file that is right."""
    done = subprocess.run(
        [sys.executable, "-m", "meshwright", "check", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def schema_of(file: Path) -> dict[str, Any]:
    """Return what `meshwright schema --file` writes."""
    done = subprocess.run(
        [sys.executable, "-m", "meshwright", "schema", "--file", str(file)], capture_output=True, text=True, check=True
    )
    schema: dict[str, Any] = json.loads(done.stdout)
    return schema
