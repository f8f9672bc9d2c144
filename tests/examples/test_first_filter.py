"""examples/first_filter, run for real."""

from __future__ import annotations

import subprocess
import sys

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

    known = httpx.get(f"{url}/hello", headers={"host": "acme.example.com"})
    unknown = httpx.get(f"{url}/hello", headers={"host": "evil.example.com"})

    assert (known.status_code, known.json(), known.headers["x-stamp"]) == (200, {"hello": "world"}, "seen")
    assert (unknown.status_code, unknown.json()) == (403, {"error": "no tenant evil"})
