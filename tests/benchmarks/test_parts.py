from __future__ import annotations

import pytest

from benchmarks.profile.parts import KERNEL_OTHER, OTHER, shares

OUTER = "run (meshwright/processes/supervisor.py:33);Runner.run (asyncio/runners.py:86);uv_run (core.c:464)"


@pytest.mark.parametrize(
    ("inner", "part"),
    [
        ("request_of (meshwright/http1/request_head.py:77)", "clients: reading requests"),
        ("Pool.release (meshwright/traffic/pool.py:176);Py_DECREF (object.h:538)", "pool"),
        (
            "UpstreamConnection._read_head (meshwright/http1/client.py:9);read_fields (meshwright/http1/grammar.py:1)",
            "messages: reading and writing their bytes",
        ),
        ("stamp (stamp.py:7)", "chain, filters and counts"),
        ("uv__stream_io (stream.c:1210)", "event loop: uvloop"),
    ],
)
def test_a_sample_belongs_to_the_innermost_part(inner: str, part: str) -> None:
    assert shares([f"{OUTER};{inner} 3"]).user == {part: 3}


def test_a_stack_of_no_part_is_the_interpreters() -> None:
    assert shares(["main (python.c:1) 2"]).user == {OTHER: 2}


def test_time_in_the_kernel_is_told_by_the_call() -> None:
    found = shares([f"{OUTER};write (libc.so.6) 5", f"{OUTER};accept4 (libc.so.6) 1"])

    assert found.kernel == {"kernel: writing": 5, KERNEL_OTHER: 1}
    assert not found.user


def test_a_function_has_what_it_calls_in_c_but_not_the_kernel() -> None:
    send = f"{OUTER};Server.send (meshwright/http1/server.py:5)"

    found = shares([f"{send};write (loop.c:1) 2", f"{send} 1", f"{send};write (libc.so.6) 7"])

    assert found.functions == {"Server.send (meshwright/http1/server.py)": 3}


def test_threads_that_wait_and_the_loop_itself_are_no_function() -> None:
    found = shares(["thread_run (libpython3.so);wait (queue.c:1) 9", f"{OUTER} 1"])

    assert found.user == {"event loop: uvloop": 1}
    assert not found.functions
