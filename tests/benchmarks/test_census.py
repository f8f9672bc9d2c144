from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.soak.census import MIB, Census, leaks

REST = Census(
    memory_bytes=60 * MIB,
    files=18,
    connections=0,
    in_flight=0,
    upstream_active=0,
    upstream_idle=0,
    upstream_waiting=0,
    tasks=["serve", "sweep"],
    objects=50_000,
    blocks=300_000,
    heap_bytes=20 * MIB,
    kinds={"dict": 20_000, "Request": 3},
)


def test_what_is_as_before_is_no_leak() -> None:
    assert leaks(REST, replace(REST, memory_bytes=67 * MIB, files=17, objects=50_400, blocks=302_000)) == []


@pytest.mark.parametrize(
    ("left", "message"),
    [
        (replace(REST, files=19), "files: expected 18 at most, as before; got 19"),
        (replace(REST, tasks=["a", "b", "c"]), "tasks: expected 2 at most, as before; got a, b, c"),
        (replace(REST, in_flight=1), "in flight: expected 0 at most, as before; got 1"),
        (replace(REST, upstream_active=2), "upstream active: expected 0 at most, as before; got 2"),
        (replace(REST, heap_bytes=25 * MIB), "heap: expected 4 MiB more at most; got 5.0 MiB more"),
        (replace(REST, memory_bytes=69 * MIB), "memory: expected 8 MiB more at most; got 9.0 MiB more"),
    ],
)
def test_each_thing_left_is_told(left: Census, message: str) -> None:
    assert leaks(REST, left) == [message]


def test_objects_left_are_told_by_their_kinds() -> None:
    (problem,) = leaks(REST, replace(REST, objects=51_000, kinds={"dict": 20_010, "Request": 993}))

    assert problem == "objects: expected about 50,000; got 51,000; of objects +990 Request, +10 dict"
