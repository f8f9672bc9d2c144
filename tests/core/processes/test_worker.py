from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from meshwright.processes.reading import Reading
from meshwright.processes.worker import LocalWorker
from meshwright_sdk import ConfigDocument, ConfigError

YAML = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
plugins: [./plugin.py]
routes:
  - {name: all, filters: [{respond: {text: TEXT}}]}
"""
PLUGIN = """\
import asyncio
from pathlib import Path
from meshwright_sdk import Filter, NoOptions, hookimpl

notes = Path(__file__).with_name("notes")

def note(text):
    with notes.open("a") as file:
        file.write(text + " ")

class Slow(Filter[NoOptions]):
    async def start(self):
        note("starting")
        await asyncio.Event().wait()

    async def close(self):
        note("closed")

@hookimpl
def meshwright_started():
    note("started")

@hookimpl
def meshwright_stopped():
    note("stopped")
"""


@pytest.fixture
async def worker() -> AsyncIterator[LocalWorker]:
    worker = LocalWorker("0", {})
    yield worker
    await worker.stop(1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    return tmp_path


def reading(folder: Path, text: str = YAML) -> Reading:
    return Reading(ConfigDocument(text=text, name="gateway.yaml", base_dir=folder))


def notes(folder: Path) -> list[str]:
    file = folder / "notes"
    return file.read_text().split() if file.exists() else []


async def address(worker: LocalWorker) -> str:
    (listener,) = (await worker.status())["listeners"]
    bind: str = listener["bind"]
    return bind


async def ask(address: str) -> str:
    async with httpx.AsyncClient() as client:
        return (await client.get(f"http://{address}/")).text


async def test_a_version_is_served_from_its_commit_on(worker: LocalWorker, folder: Path) -> None:
    await worker.prepare(reading(folder, YAML.replace("TEXT", "one")), 1)
    before = await worker.status()
    await worker.commit(1)

    assert (before["version"], before["listeners"]) == (0, [])
    assert (await worker.status())["version"] == 1
    assert await ask(await address(worker)) == "one"


async def test_what_was_done_by_hand_is_done_before_the_first_request(worker: LocalWorker, folder: Path) -> None:
    use, arguments = "filters.fault", dict[str, str]()
    text = YAML.replace("TEXT", "one") + "\nfilters: [{fault: {abort: {status: 503}, active: false}}]\n"
    await worker.prepare(reading(folder, text), 1)
    await worker.commit(1, [("filters.gone", "on", arguments), (use, "none", arguments), (use, "on", arguments)])

    assert (await worker.state())[use]["state"]["active"] is True


async def test_a_discarded_version_changes_nothing(worker: LocalWorker, folder: Path) -> None:
    await worker.prepare(reading(folder, YAML.replace("TEXT", "one")), 1)
    await worker.commit(1)
    await worker.prepare(reading(folder, YAML.replace("TEXT", "two")), 2)
    await worker.discard(2)
    await worker.discard(3)

    assert (await worker.status())["version"] == 1
    assert await ask(await address(worker)) == "one"


async def test_discarding_stops_a_preparation_that_still_runs(worker: LocalWorker, folder: Path) -> None:
    slow = YAML.replace("filters: [", "filters: [slow, ")
    preparing = asyncio.gather(worker.prepare(reading(folder, slow), 1), return_exceptions=True)
    for _ in range(6000):
        if notes(folder):
            break
        await asyncio.sleep(0.005)

    await worker.discard(1)

    assert isinstance((await preparing)[0], asyncio.CancelledError)
    assert notes(folder) == ["starting", "closed"]


async def test_the_ports_that_were_given_are_bound(folder: Path) -> None:
    ports: dict[str, int] = {}
    worker = LocalWorker("0", ports)
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        ports["web"] = held.getsockname()[1]

        await worker.prepare(reading(folder), 1)
        await worker.commit(1)

        assert await address(worker) == f"127.0.0.1:{ports['web']}"
        await worker.stop(1.0)


async def test_an_address_that_cannot_be_had_is_told_by_its_place_in_the_file(
    worker: LocalWorker, folder: Path
) -> None:
    with pytest.raises(ConfigError, match=r"gateway\.yaml:1: listeners\[0\]\.bind: expected .* got 192\.0\.2\.1:80"):
        await worker.prepare(reading(folder, YAML.replace("127.0.0.1:0", "192.0.2.1:80")), 1)


async def test_plugins_are_told_of_the_first_version_and_of_the_end(folder: Path) -> None:
    worker = LocalWorker("0", {})
    for version in (1, 2):
        await worker.prepare(reading(folder), version)
        await worker.commit(version)
    await worker.stop(1.0)

    assert notes(folder) == ["started", "stopped"]


async def test_a_plugin_whose_hook_raises_does_not_stop_the_worker(
    worker: LocalWorker, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "plugin.py").write_text(PLUGIN.replace('note("started")', "1 / 0"))
    await worker.prepare(reading(folder, YAML.replace("TEXT", "one")), 1)
    await worker.commit(1)

    assert await ask(await address(worker)) == "one"
    assert "its hook meshwright_started raised" in caplog.text


async def test_a_worker_that_never_served_can_be_stopped() -> None:
    await LocalWorker("0", {}).stop(1.0)


async def test_what_the_process_counts_of_itself_carries_the_workers_name(worker: LocalWorker) -> None:
    families = {family["name"]: family for family in await worker.metrics()}

    (sample,) = families["process_resident_memory_bytes"]["samples"]
    assert sample["labels"] == {"worker": "0"}
