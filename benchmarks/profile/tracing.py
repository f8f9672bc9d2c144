"""Looking at a running process while it is under load: its totals, its system calls, its stacks."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.sample import Sample
from benchmarks.profile.parts import Shares, shares
from benchmarks.servers import BenchmarkError, cpu_ticks, program

RATE_PER_S = 100
"""py-spy stops the process for each sample, for some milliseconds with native frames: more would change the picture."""

ATTACH_S = 1.0
END_S = 20.0
ENOUGH_REQUESTS = 200
"""Of fewer, the system calls that open the connections would be a good part."""

LOADS = 4
COUNTED = re.compile(r"^(?P<name>\w+) +(?P<calls>\d+)", re.MULTILINE)

Load = Callable[[int], Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What one request cost, with nothing looking on: processor time in µs, and how often the process slept."""

    requests_per_s: float
    user_us: float
    system_us: float
    sleeps: float


def totals(pid: int, load: Load, seconds: int) -> Totals:
    """Load the process, and divide what the kernel counted by the requests."""
    (user, system), sleeps = cpu_ticks(pid), _sleeps(pid)
    sample = load(seconds)
    (user_then, system_then), sleeps_then = cpu_ticks(pid), _sleeps(pid)
    tick_us = 1e6 / os.sysconf("SC_CLK_TCK")
    return Totals(
        requests_per_s=sample.requests_per_s,
        user_us=(user_then - user) * tick_us / sample.requests,
        system_us=(system_then - system) * tick_us / sample.requests,
        sleeps=(sleeps_then - sleeps) / sample.requests,
    )


def system_calls(pid: int, load: Load, seconds: int, folder: Path) -> dict[str, float]:
    """Count system calls a request by strace, which slows the process down; nothing where it is not installed.

    Each call waits for strace twice: where others use the processor too, it takes seconds to open the connections, and
    a load may end before the first answer. Then there is another one.
    """
    file = folder / "strace"
    try:
        command = [program("strace"), "-f", "-c", "-U", "name,calls", "-p", str(pid), "-o", str(file)]
    except BenchmarkError:
        return {}
    with _looking_on("strace", command):
        requests = requests_of(load, seconds)
    counted = {found["name"]: int(found["calls"]) / requests for found in COUNTED.finditer(file.read_text("utf-8"))}
    return {name: calls for name, calls in counted.items() if calls >= 0.005 and name != "total"}


def requests_of(load: Load, seconds: int) -> int:
    """Load the process until there were enough requests, each time for twice as long; return how many there were."""
    requests = 0
    for turn in range(LOADS):
        requests += load(seconds << turn).requests
        if requests >= ENOUGH_REQUESTS:
            return requests
    raise BenchmarkError(f"profile: expected {ENOUGH_REQUESTS} answers or more; got {requests}")


def sampled(pid: int, load: Load, seconds: int, file: Path) -> Shares:
    """Sample the stacks by py-spy, with the frames of C where it can see them; they are kept in the file."""
    native = ["--native"] if platform.machine() == "x86_64" else []
    options = ("--format", "raw", "--function", "--rate", str(RATE_PER_S), "--output", str(file))
    command = [
        program("py-spy"),
        "record",
        "--pid",
        str(pid),
        "--duration",
        str(seconds + round(END_S)),
        *options,
        *native,
    ]
    with _looking_on("py-spy", command):
        load(seconds)
    return shares(file.read_text("utf-8", "replace").splitlines())


@contextmanager
def _looking_on(name: str, command: Sequence[str]) -> Iterator[None]:
    """Have a program look on while the block runs; it ends by the signal of Ctrl-C, as it would in a terminal."""
    watcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        with suppress(subprocess.TimeoutExpired):
            watcher.wait(ATTACH_S)
            raise BenchmarkError(f"{name}: expected it to look on; got code {watcher.returncode}\n{_said(watcher)}")
        yield
        watcher.send_signal(signal.SIGINT)
        watcher.communicate(timeout=END_S)
    finally:
        watcher.kill()
        watcher.wait()


def _said(watcher: subprocess.Popen[str]) -> str:
    return watcher.stderr.read() if watcher.stderr else ""


def _sleeps(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    return int(status.split("voluntary_ctxt_switches:")[1].split()[0])
