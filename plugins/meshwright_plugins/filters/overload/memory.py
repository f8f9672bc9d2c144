"""What this process holds in memory and what it may; nothing is decided here."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container's limit stands: version 2, and version 1 (cgroups(7))."""
UNLIMITED_BYTES = 2**60
"""Version 1 has a huge number for no limit."""


@cache
def _statm() -> int:
    """Return a descriptor that stays open: a process that has none left for another one needs its guard most."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


def resident_bytes() -> int:
    """Return what the process holds in RAM (proc_pid_statm(5)); it takes a microsecond or two.

    The first call opens a file; raises OSError when it cannot.
    """
    return int(os.pread(_statm(), 256, 0).split()[1]) * PAGE_BYTES


def cgroup_limit_bytes(files: tuple[str, ...] = CGROUP_LIMITS) -> int | None:
    """Return the limit of the control group that this process sees as its own, or None when there is none."""
    for file in files:
        with suppress(OSError, ValueError):
            limit = int(Path(file).read_text("ascii"))
            return limit if limit < UNLIMITED_BYTES else None
    return None
