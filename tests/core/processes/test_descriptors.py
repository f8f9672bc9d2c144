from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest

from meshwright.processes.descriptors import MOST, raise_limit


@pytest.fixture
def hard() -> Iterator[int]:
    """Have a soft limit below the hard one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    yield before[1] if before[1] != resource.RLIM_INFINITY else MOST
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_is_raised_as_far_as_the_system_allows_for_processes_started_later_too(hard: int) -> None:
    ask = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"

    raised = raise_limit()
    child = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True, text=True)

    assert raised == int(child.stdout) == min(hard, MOST)
    assert raise_limit() == raised
