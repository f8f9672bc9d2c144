"""examples/first_filter, run for real."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from threading import Event
from time import monotonic

import httpx

from tests.examples.conftest import EXAMPLES, Start

FOLDER = EXAMPLES / "first_filter"


def test_its_own_tests_pass() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(FOLDER), "tests"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "4 passed" in done.stdout, done.stdout


def test_the_filters_decide_in_a_running_gateway(run_gateway: Start) -> None:
    url = run_gateway(FOLDER / "gateway.yaml")

    known = httpx.get(f"{url}/hello", headers={"host": "acme.example.com"}, timeout=30)
    unknown = httpx.get(f"{url}/hello", headers={"host": "evil.example.com"}, timeout=30)

    assert (known.status_code, known.json(), known.headers["x-stamp"]) == (200, {"hello": "world"}, "seen")
    assert (unknown.status_code, unknown.json()) == (403, {"error": "no tenant evil"})


def test_a_filter_that_changes_is_used_and_a_broken_one_is_not(run_gateway: Start, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "copy")
    url = run_gateway(tmp_path / "copy" / "gateway.yaml")
    file = tmp_path / "copy" / "filters" / "stamp.py"
    source = file.read_text("utf-8")

    file.write_text(source.replace('"seen"', '"late"'), "utf-8")
    changed = stamp_of(url, "late")
    file.write_text("import acme_nowhere", "utf-8")
    broken = stamp_of(url, "late")
    file.write_text(source.replace('"seen"', '"mend"'), "utf-8")
    mended = stamp_of(url, "mend")

    assert (changed, broken, mended) == ("late", "late", "mend")


def stamp_of(url: str, wanted: str, within_s: float = 20.0) -> str:
    """Return the stamp that requests get, the wanted one as soon as they get it."""
    deadline = monotonic() + within_s
    while True:
        stamp: str = httpx.get(f"{url}/hello", timeout=30).headers["x-stamp"]
        if stamp == wanted or monotonic() > deadline:
            return stamp
        Event().wait(0.05)
