"""The admin API at its address: a client is answered whenever it comes, and the address may change."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from meshwright.admin import serving
from meshwright.admin.server import Admin
from meshwright.net.sockets import is_socket
from meshwright.processes.control import Control, Part
from meshwright.processes.fleet import Fleet
from meshwright.processes.reading import check
from meshwright.traffic.beside import in_thread
from meshwright.traffic.checked import CheckedConfig
from meshwright_sdk import ConfigError, Tasks
from tests.core.http1.wire import until
from tests.core.processes.fake_worker import FakeSource

YAML = 'admin: {bind: "127.0.0.1:0"}\nlisteners: [{name: web, bind: "127.0.0.1:0"}]\n'
REQUEST = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


class Started:
    """A control side and its admin API, as the supervisor joins them."""

    def __init__(self, text: str = YAML) -> None:
        self.source = FakeSource(text)
        self.control = Control(self.source, check, Fleet())
        self.admin = Admin(self.control)
        self.control.parts = [self.admin]

    async def ask(self, address: str | None = None) -> bytes:
        host, _, port = (address or self.admin.address).rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(REQUEST)
            return await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()


@pytest.fixture
async def started() -> AsyncIterator[Started]:
    gateway = Started()
    await gateway.control.start()
    yield gateway
    await gateway.admin.close()


async def test_a_client_is_answered_before_traffic_is_served(started: Started) -> None:
    assert b"200 OK" in await started.ask()


@pytest.mark.parametrize("asked", [False, True])
async def test_the_file_of_a_unix_socket_goes_with_it(tmp_path: Path, asked: bool) -> None:
    file = tmp_path / "admin.sock"
    gateway = Started(YAML.replace("127.0.0.1:0", f"unix:{file}", 1))
    await gateway.control.start()
    if asked:
        reader, writer = await asyncio.open_unix_connection(str(file))
        writer.write(REQUEST)
        assert b"200 OK" in await asyncio.wait_for(reader.read(), 30)
        writer.close()
    assert file.is_socket()

    await gateway.admin.close()

    assert not file.exists()


async def test_a_start_that_fails_leaves_no_file(tmp_path: Path) -> None:
    class Broken(Part):
        async def prepare(self, config: CheckedConfig, version: int) -> None:
            raise ConfigError(["no"])

        async def commit(self, version: int) -> None: ...

        async def discard(self, version: int) -> None: ...

    gateway = Started(YAML.replace("127.0.0.1:0", f"unix:{tmp_path}/admin.sock", 1))
    gateway.control.parts.append(Broken())

    with pytest.raises(ConfigError):
        await gateway.control.start()

    assert not is_socket(f"{tmp_path}/admin.sock")


async def test_it_answers_later_when_what_answers_cannot_be_imported_at_first(
    started: Started, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = list[object]()

    async def counted(work: Callable[[], object]) -> object:
        attempts.append(work)
        return await in_thread(work)

    monkeypatch.setattr(serving, "in_thread", counted)
    monkeypatch.setattr(serving, "RETRY_S", 0.01)
    with monkeypatch.context() as broken:
        broken.setitem(sys.modules, "meshwright.admin.graceful", None)
        asked = Tasks().spawn(started.ask(), name="client")
        await until(lambda: len(attempts) > 3)

    assert b"200 OK" in await asked
    assert caplog.text.count("cannot answer yet") == 1


async def test_it_ends_before_anybody_asked(started: Started) -> None:
    address = started.admin.address

    await started.admin.close()

    with pytest.raises(OSError, match="111"):
        await started.ask(address)


async def test_it_moves_to_another_address_whether_it_was_asked_or_not(started: Started) -> None:
    before = started.admin.address
    started.source.text = YAML.replace('admin: {bind: "127.0.0.1:0"}', 'admin: {bind: "localhost:0"}')

    outcome = await started.control.reload("test")

    assert (outcome.result, started.admin.address != before) == ("applied", True)
    assert b"200 OK" in await started.ask()


async def test_an_address_that_is_taken_is_a_problem_of_the_configuration(started: Started) -> None:
    other = Started(YAML.replace("127.0.0.1:0", started.admin.address, 1))

    with pytest.raises(ConfigError, match=r"admin\.bind: expected a free address"):
        await other.control.start()
