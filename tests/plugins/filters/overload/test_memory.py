from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from meshwright_plugins.filters.overload.memory import cgroup_limit_bytes, resident_bytes


def test_this_process_holds_some_memory() -> None:
    assert 10e6 < resident_bytes() < 10e9


def test_it_is_told_when_no_file_descriptor_is_left() -> None:
    resident_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.open("/proc/self/statm", os.O_RDONLY)
        assert resident_bytes() > 10e6
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("content", "limit"), [("1073741824\n", 2**30), ("max\n", None), ("9223372036854771712\n", None), ("", None)]
)
def test_the_limit_of_the_container_is_read(content: str, limit: int | None, tmp_path: Path) -> None:
    file = tmp_path / "memory.max"
    file.write_text(content)

    assert cgroup_limit_bytes((str(tmp_path / "missing"), str(file))) == limit


def test_without_a_control_group_there_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_limit_bytes((str(tmp_path / "missing"),)) is None
