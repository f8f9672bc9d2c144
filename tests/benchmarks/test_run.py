"""The benchmark itself, with real processes and a second of load."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
MISSING = [name for name in ("nginx", "wrk", "taskset") if shutil.which(name, path=SEARCHED) is None]
PLAIN = ("--scenario", "plain")

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores"),
    pytest.mark.timeout(120),  # a busy machine takes long to start what is measured
]


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start the program with the folder for its temporary files, so that its servers can be told by it."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--contender", "nginx", "--seconds", "1", *options],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_running(folder: Path) -> list[str]:
    commands = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(file.read_text("utf-8", "replace"))
        except OSError:
            continue
    return [command for command in commands if str(folder) in command]


def test_a_run_prints_the_table_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with start(tmp_path, *PLAIN, "--rounds", "1") as run:
        out, err = run.communicate(timeout=100)

    assert run.returncode == 0, err
    assert out.splitlines()[3].startswith("| nginx ")
    assert "failed" not in out
    assert left_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scenario", ["upload", "websocket", "events"])
def test_bodies_messages_and_events_pass_through_a_contender(tmp_path: Path, scenario: str) -> None:
    with start(tmp_path, "--scenario", scenario, "--rounds", "1") as run:
        out, err = run.communicate(timeout=100)

    assert run.returncode == 0, err
    rate = int(out.splitlines()[3].split("|")[2].strip().replace(",", ""))
    assert rate > 100
    assert left_running(tmp_path) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_stops_its_servers(tmp_path: Path, signum: signal.Signals) -> None:
    with start(tmp_path, *PLAIN, "--rounds", "1000") as run:
        assert run.stderr is not None
        next(line for line in run.stderr if "round 1/" in line)
        assert left_running(tmp_path) != []
        run.send_signal(signum)
        run.communicate(timeout=100)

    assert run.returncode == 128 + signum
    assert left_running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
