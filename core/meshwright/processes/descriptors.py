"""How many file descriptors this process may have; who uses them is not known here."""

from __future__ import annotations

import resource
from contextlib import suppress

MOST = 1_048_576
"""More is not asked for: some programs that a plugin may start close every descriptor that they might have."""


def raise_limit() -> int:
    """Take as many descriptors as the system lets us, and return how many; processes started later have them too.

    The soft limit is often 1024, for programs that use `select`; a connection and its upstream take two.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
