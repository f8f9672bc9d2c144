"""Starting, awaiting and stopping the processes of a run. What they are configured to do does not go in here."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.scenario import Scenario

START_LIMIT_S = 20.0
STOP_LIMIT_S = 10.0
POLL_S = 0.05

Process = subprocess.Popen[bytes]


class BenchmarkError(Exception):
    """The run cannot go on, and the message says why."""


def program(name: str) -> str:
    """Find a program beside this Python first, then on the path and where Debian keeps servers."""
    here = str(Path(sys.executable).parent)
    found = shutil.which(name, path=os.pathsep.join([here, os.environ.get("PATH", os.defpath), "/usr/sbin"]))
    if found is None:
        raise BenchmarkError(f"{name}: expected the program to be installed; got nothing on the path")
    return found


def pinned(core: int, command: Sequence[str]) -> list[str]:
    return [program("taskset"), "-c", str(core), *command]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(name: str, command: Sequence[str], *, core: int, folder: Path) -> Iterator[Process]:
    """Run a server pinned to a core until the block ends; its output goes to a log in the folder.

    It gets a session of its own, so that Ctrl-C reaches only us and the servers are stopped in order.
    """
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            pinned(core, command),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            stop(process)


def stop(process: Process) -> None:
    """End the process and everything it started: asked first, then killed."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT_S)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until_ready(name: str, process: Process, *, port: int, scenario: Scenario, folder: Path) -> None:
    """Return when the port answers the scenario's request rightly; raise when it ends or takes too long."""
    deadline = time.monotonic() + START_LIMIT_S
    while not answers(port, scenario):
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(POLL_S)
            raise BenchmarkError(f"{name}: ended with code {code} while starting\n{tail(name, folder)}")
        if time.monotonic() > deadline:
            problem = f"no right answer on port {port} within {START_LIMIT_S:.0f} s"
            raise BenchmarkError(f"{name}: {problem}\n{tail(name, folder)}")


def answers(port: int, scenario: Scenario) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", scenario.path)
        response = connection.getresponse()
        return response.status == 200 and response.read() == scenario.body.encode()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tail(name: str, folder: Path, lines: int = 15) -> str:
    text = (folder / f"{name}.log").read_text("utf-8", "replace")
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def cpu_seconds(process: Process) -> float:
    """CPU time of the process so far, user and system, all threads (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
