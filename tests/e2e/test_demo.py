"""`meshwright demo` as a user sees it: every command that it tells to try is tried."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from meshwright.demo.shop import hold_port

STOP_S = 20.0
BIN = Path(sys.executable).parent


class Demo:
    """A running demo and what it has written."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "meshwright", "demo", *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if "Ctrl-C closes the shop" in line:
                break

    @property
    def commands(self) -> list[str]:
        return [line.strip() for line in self.lines if line.startswith("    ")]

    @property
    def folder(self) -> Path:
        return Path(next(line for line in self.lines if line.startswith("Change ")).split()[1]).parent

    @property
    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()]

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=STOP_S)


@pytest.fixture
def demo() -> Iterator[Demo]:
    demo = Demo("--port", "0")
    yield demo
    assert demo.stop(signal.SIGTERM) == 0
    assert demo.process.stdout is not None
    demo.process.stdout.close()


def answer(command: str) -> str:
    """Return what a command of the guide writes, in a shell with this environment's programs."""
    done = subprocess.run(
        ["bash", "-c", command.replace("curl ", "curl -sS ", 1)],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_command_of_the_guide_does_what_it_promises(demo: Demo) -> None:
    template, canary, weights, calls, events, nothing, explained, services, metrics = map(answer, demo.commands)

    assert '"order":"7"' in template
    assert '"tenant":"acme"' in template
    assert "x-answered-by: http://127.0.0.1:" in template
    assert '"service":"order-next"' in canary
    assert (weights.count('"instance":"1"'), weights.count('"instance":"2"')) == (4, 2)
    assert '"paid":true' in calls
    assert '"at":"warehouse"' in calls
    assert [line for line in events.splitlines() if line][-1] == 'data: {"shipment": "7", "at": "your door"}'
    assert "404 Not Found" in nothing
    assert '"code":"no_route"' in nothing
    assert "* order-canary" in explained
    assert '"payment"' in services
    assert 'meshwright_requests_total{route="payment"' in metrics


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_and_leaves_no_process_and_no_file(number: signal.Signals) -> None:
    demo = Demo("--port", "0")
    children = demo.children

    code = demo.stop(number)
    assert demo.process.stdout is not None
    demo.process.stdout.close()

    assert code == 0
    assert len(children) == 4
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []
    assert not demo.folder.exists()


def test_services_end_when_the_demo_is_killed() -> None:
    demo = Demo("--port", "0")
    ends = [os.pidfd_open(child) for child in demo.children]
    demo.stop(signal.SIGKILL)
    assert len(ends) == 4
    assert demo.process.stdout is not None
    demo.process.stdout.close()

    for end in ends:
        readable, _, _ = select.select([end], [], [], STOP_S)
        os.close(end)
        assert readable, "a service outlived the demo"
    shutil.rmtree(demo.folder)


def test_a_port_that_is_asked_for_and_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "meshwright", "demo", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=STOP_S,
            check=False,
        )

    assert done.returncode == 1
    assert f"expected a free address; got 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_one_demo_has_chosen_is_not_taken_by_another() -> None:
    with ExitStack() as one, ExitStack() as another:
        port = hold_port(0, one)
        assert hold_port(port, another) != port

        one.close()
        assert hold_port(port, another) == port


def test_without_a_port_a_free_one_is_taken_when_8080_is_not() -> None:
    with socket.socket() as taken:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):  # so that several runs of this test can hold it
            taken.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        except OSError:
            pass  # somebody else has it, which is as good
        demo = Demo()
        code = demo.stop(signal.SIGTERM)
        assert demo.process.stdout is not None
        demo.process.stdout.close()

    assert demo.lines[0].startswith("Port 8080 is taken; the gateway takes ")
    assert code == 0
