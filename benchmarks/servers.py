"""Starting, awaiting and stopping the processes of a run. What they are configured to do does not go in here."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

START_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0
POLL_S = 0.01

ROOT = Path(__file__).parent.parent

# A gateway that is installed has its bytecode; one of a checkout may be told to make it anew at each start.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

Process = subprocess.Popen[bytes]
Probe = Callable[[], bool]


class BenchmarkError(Exception):
    """The run cannot go on, and the message says why."""


def program(name: str) -> str:
    """Find a program beside this Python first, then on the path and where Debian keeps servers."""
    here = str(Path(sys.executable).parent)
    found = shutil.which(name, path=os.pathsep.join([here, os.environ.get("PATH", os.defpath), "/usr/sbin"]))
    if found is None:
        raise BenchmarkError(f"{name}: expected the program to be installed; got nothing on the path")
    return found


def stop_by_signal() -> None:
    """Let Ctrl-C and SIGTERM end the run, so that its servers are stopped; further ones do not disturb that."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _stop_once)


def _stop_once(signum: int, _frame: object) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + signum)


def prepare() -> tuple[str, str]:
    """Return a core for the contender and one for the load, as `taskset` wants them, and move ourselves to the second.

    What we ask while something is measured must not disturb the contender.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchmarkError("benchmarks: expected two cores, one for the contender and one for the load; got one")
    os.sched_setaffinity(0, {usable[1]})
    raise_file_limit()
    return str(usable[0]), str(usable[1])


def raise_file_limit() -> int:
    """Allow as many open files as the machine lets us, for us and for what we start, and return how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def pinned(cores: str, command: Sequence[str]) -> list[str]:
    """Have a command run on the given cores only, such as `0` or `0,1`."""
    return [program("taskset"), "-c", cores, *command]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(name: str, command: Sequence[str], *, cores: str, folder: Path) -> Iterator[Process]:
    """Run a server pinned to its cores until the block ends; its output goes to a log in the folder.

    It gets a session of its own, so that Ctrl-C reaches only us and the servers are stopped in order.
    """
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            pinned(cores, command),
            cwd=folder,
            env=ENVIRONMENT,
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


def wait_until_ready(name: str, process: Process, probe: Probe, folder: Path) -> None:
    """Return when the probe succeeds; raise when the process ends or takes too long."""
    deadline = time.monotonic() + START_LIMIT_S
    while not probe():
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(POLL_S)
            raise BenchmarkError(f"{name}: ended with code {code} while starting\n{tail(name, folder)}")
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{name}: no right answer within {START_LIMIT_S:.0f} s\n{tail(name, folder)}")


def tail(name: str, folder: Path, lines: int = 15) -> str:
    text = (folder / f"{name}.log").read_text("utf-8", "replace")
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def cpu_seconds(process: Process) -> float:
    """CPU time of the process and of what descends from it so far, user and system, all threads."""
    return sum(sum(cpu_ticks(pid)) for pid in family(process)) / os.sysconf("SC_CLK_TCK")


def family(process: Process) -> list[int]:
    """The process and all that descend from it and still run (proc_pid_stat(5), field 4)."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parents[int(folder.name)] = int(_stat(int(folder.name))[1])
    found = [process.pid]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_ticks(pid: int) -> tuple[int, int]:
    """CPU time of one process so far, user and system, in clock ticks (proc_pid_stat(5), fields 14 and 15)."""
    try:
        fields = _stat(pid)
    except OSError:
        return 0, 0
    return int(fields[11]), int(fields[12])


def memory_bytes(pid: int) -> int:
    """What a process holds in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int) -> list[str]:
    """The fields after the name, of which the first is the third of the file."""
    return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
