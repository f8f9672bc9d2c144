"""What a command imports before it is needed: nothing heavy, so that the first answer is there soon."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

LATE = ("aiohttp", "authlib", "httptools", "jinja2", "redis", "starlette", "uvicorn", "watchfiles", "wsproto")
CONFIGURATION = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
admin: {bind: "127.0.0.1:0"}
filters: [request_id, compress, {cors: {allow_origins: ["https://shop.example"]}}]
routes: [{name: all, to: shop}]
services: {shop: {endpoints: ["http://127.0.0.1:9"]}}
"""
CHECK = """\
import sys
from meshwright.cli import main
main([*sys.argv[1:]], standalone_mode=False)
print("imported", *sys.modules)
"""
RUN = """\
import asyncio, sys
from meshwright.admin.server import Admin
from meshwright.cli import main

def tell_before_and_after(self):
    print("imported", *sys.modules, flush=True)
    opened(self)
    self.telling = asyncio.create_task(tell_when_imported())

async def tell_when_imported():
    while "meshwright.admin.app" not in sys.modules:
        await asyncio.sleep(0.01)
    print("the admin API is there", flush=True)

opened, Admin.open = Admin.open, tell_before_and_after
main([*sys.argv[1:]])
"""


def late_among(output: str) -> list[str]:
    (line,) = (line for line in output.splitlines() if line.startswith("imported "))
    return sorted(set(LATE).intersection(line.split()))


@pytest.fixture
def gateway_file(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIGURATION)
    return file


def test_a_check_imports_only_what_it_needs(gateway_file: Path) -> None:
    command = [sys.executable, "-c", CHECK, "check", str(gateway_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout.startswith("ok: ")
    assert late_among(done.stdout) == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_admin_api_is_imported_unasked_once_the_workers_serve_and_not_before(
    gateway_file: Path, workers: str
) -> None:
    command = [sys.executable, "-c", RUN, "run", str(gateway_file), "--workers", workers]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        imported, *then = (process.stdout.readline() for _ in range(3))
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)

    assert late_among(imported) == []
    assert "listening on" in "".join(then)
    assert "the admin API is there\n" in then
    assert code == 0
