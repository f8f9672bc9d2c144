from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from meshwright.config.model import ListenerConfig
from meshwright.processes.listeners import Listeners
from meshwright_sdk import ConfigError, Metrics, Request, Response
from tests.certificates import trusting, write_certificate
from tests.core.http1.wire import Wire, until
from tests.core.net.handshake import names_shown
from tests.ports import free_port

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
EXPIRY = "meshwright_certificate_expiry_timestamp_seconds"


class Rig:
    """The listeners of one worker, the folder of their files, and clients of theirs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics = Metrics()
        self.release = asyncio.Event()
        self.arrived = asyncio.Event()
        self.listeners = Listeners(self.handle, self.metrics)
        self.wires: list[Wire] = []

    async def handle(self, request: Request) -> Response:
        if request.path == "/slow":
            self.arrived.set()
            await self.release.wait()
        return Response.text(f"{request.client and request.client.host} {request.scheme}")

    def apply(self, *configs: dict[str, Any], grace_s: float = 10.0) -> None:
        models = [ListenerConfig.model_validate({"name": "web", "bind": "127.0.0.1:0", **each}) for each in configs]
        self.listeners.commit(self.listeners.prepare(models, self.folder), grace_s=grace_s)

    def address(self, name: str = "web") -> str:
        return next(each.bind for each in self.listeners.bound if each.name == name)

    async def client(self, address: str = "", **options: Any) -> Wire:
        address = address or self.address()
        if address.startswith("unix:"):
            streams = await asyncio.open_unix_connection(address.removeprefix("unix:"), **options)
        else:
            host, _, port = address.rpartition(":")
            streams = await asyncio.open_connection(host, int(port), **options)
        self.wires.append(Wire(*streams))
        return self.wires[-1]

    async def secure(self) -> Wire:
        return await self.client(ssl=trusting(), server_hostname="localhost")

    def tls(self, *names: str, **options: Any) -> dict[str, str]:
        certificate, key = write_certificate(self.folder, *(names or ("localhost",)), **options)
        return {"certificate": certificate.name, "key": key.name}

    @property
    def draining(self) -> int:
        return len(self.listeners._draining)

    def expiries(self) -> dict[str, float]:
        """Return what the metric says, by listener."""
        metrics = self.metrics.families[EXPIRY].metrics
        return {dict(labels)["listener"]: each.value for labels, each in metrics.items()}  # type: ignore[union-attr]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    for wire in rig.wires:
        wire.writer.transport.abort()
    await rig.listeners.close(0.1)


async def ask(wire: Wire, path: str = "/") -> tuple[int, str | None]:
    """Send a request, and return the status and what the answer says of the connection."""
    await wire.send(GET.replace(b"/", path.encode(), 1))
    answer = await wire.message()
    return answer.status, answer.headers.get("connection")


def at(address: str, **more: Any) -> dict[str, Any]:
    return {"bind": address, **more}


@pytest.mark.parametrize("change", [{"name": "public"}, {"max_connections": 5}, {"trusted_proxies": ["10.0.0.1"]}])
async def test_a_new_name_or_option_keeps_the_socket_and_the_connections(rig: Rig, change: dict[str, Any]) -> None:
    address = f"127.0.0.1:{free_port()}"
    rig.apply(at(address))
    wire = await rig.client()
    await ask(wire)
    rig.apply(at(address, **change))

    assert await ask(wire) == (200, None)
    assert rig.draining == 0
    assert await ask(await rig.client(address)) == (200, None)


async def test_another_limit_holds_for_the_connections_to_come(rig: Rig) -> None:
    rig.apply({})
    wire = await rig.client()
    await ask(wire)
    rig.apply({"max_connections": 1})

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await ask(await rig.client())
    assert await ask(wire) == (200, None)


async def test_a_listener_that_is_gone_lets_an_idle_connection_have_one_more_answer(rig: Rig) -> None:
    rig.apply({}, {"name": "gone"})
    address = rig.address("gone")
    wire = await rig.client(address)
    await ask(wire)
    rig.apply({})

    with pytest.raises(ConnectionRefusedError):
        await rig.client(address)
    assert await ask(wire) == (200, "close")
    assert await wire.rest() == b""
    await until(lambda: rig.draining == 0)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_connection_that_is_opened_while_its_listener_goes_has_one_answer(rig: Rig, tls: bool) -> None:
    rig.apply({}, {"name": "gone", "proxy_protocol": True, **({"tls": rig.tls()} if tls else {})})
    wire = await rig.client(rig.address("gone"))
    (gone,) = [each for each in rig.listeners._running if each.config.name == "gone"]
    await until(lambda: gone._acceptor.opening == 1)
    rig.apply({})
    await wire.send(b"PROXY UNKNOWN\r\n")
    if tls:
        await wire.writer.start_tls(trusting(), server_hostname="localhost")
    assert await ask(wire) == (200, "close")
    assert await wire.rest() == b""
    await until(lambda: rig.draining == 0)


async def test_a_listener_that_is_gone_lets_running_requests_end(rig: Rig) -> None:
    rig.apply({}, {"name": "gone"})
    wire = await rig.client(rig.address("gone"))
    await wire.send(GET.replace(b"/", b"/slow", 1))
    await rig.arrived.wait()
    rig.apply({})
    rig.release.set()

    answer = await wire.message()
    assert (answer.status, answer.headers.get("connection")) == (200, "close")


async def test_idle_connections_of_a_listener_that_is_gone_are_closed_after_a_while(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshwright.processes.listeners.IDLE_GRACE_S", 0.1)
    rig.apply({}, {"name": "gone"})
    wire = await rig.client(rig.address("gone"))
    await ask(wire)
    rig.apply({})

    assert await wire.rest() == b""
    await until(lambda: rig.draining == 0)


async def test_what_outlasts_the_grace_is_cut_off_and_told(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.apply({}, {"name": "gone"})
    wire = await rig.client(rig.address("gone"))
    await wire.send(GET.replace(b"/", b"/slow", 1))
    await rig.arrived.wait()
    rig.apply({}, grace_s=0.1)

    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await wire.message()
    await until(lambda: rig.draining == 0)
    assert caplog.messages == ["listener gone: 1 connection cut off, still busy at the end of the drain"]


async def test_a_stop_hurries_the_listeners_that_were_taking_their_time(rig: Rig) -> None:
    rig.apply({}, {"name": "gone"})
    idle = await rig.client(rig.address("gone"))
    await ask(idle)
    rig.apply({}, grace_s=60.0)

    async with asyncio.timeout(30.0):
        await rig.listeners.close(60.0)
    assert await idle.rest() == b""


async def test_a_stop_closes_idle_connections_at_once_and_waits_for_requests(rig: Rig) -> None:
    rig.apply({})
    idle, busy = await rig.client(), await rig.client()
    await ask(idle)
    await busy.send(GET.replace(b"/", b"/slow", 1))
    await rig.arrived.wait()
    closing = asyncio.gather(rig.listeners.close(10.0))

    assert await idle.rest() == b""
    rig.release.set()
    assert (await busy.message()).status == 200
    await closing


async def test_a_change_of_tls_lets_connections_end_and_new_ones_have_the_new(rig: Rig) -> None:
    rig.apply({})
    address = rig.address()
    plain = await rig.client()
    await ask(plain)
    rig.apply(at("127.0.0.1:0", tls=rig.tls()))

    assert rig.address() == address
    assert await ask(await rig.secure()) == (200, None)
    assert await ask(plain) == (200, "close")
    assert await plain.rest() == b""


async def test_a_reload_that_is_given_up_leaves_the_listener_as_it_was(rig: Rig) -> None:
    rig.apply({})
    other = ListenerConfig.model_validate(
        {"name": "web", "bind": "127.0.0.1:0", "max_connections": 1, "tls": rig.tls()}
    )
    rig.listeners.discard(rig.listeners.prepare([other], rig.folder))

    assert [await ask(await rig.client()) for _ in range(2)] == [(200, None)] * 2


async def test_renewed_certificates_are_for_new_connections_and_the_others_go_on(rig: Rig) -> None:
    rig.apply({"tls": rig.tls("localhost", "old.test")})
    before = await rig.secure()
    await ask(before)
    rig.tls("localhost", "new.test")
    for _ in range(2):
        await rig.listeners._certificates.look()
    after = await rig.secure()

    assert names_shown(after.writer.get_extra_info("ssl_object")) == ["localhost", "new.test"]
    assert [await ask(each) for each in (before, after)] == [(200, None)] * 2


async def test_a_reload_takes_renewed_certificates_at_once_and_keeps_the_connections(rig: Rig) -> None:
    rig.apply({"tls": rig.tls("localhost", "old.test")})
    before = await rig.secure()
    await ask(before)
    context = rig.listeners._running[0].tls
    rig.apply({"tls": {"certificate": "shop.pem", "key": "shop.key"}})
    unchanged = rig.listeners._running[0].tls is context
    rig.apply({"tls": rig.tls("localhost", "new.test")})

    after = await rig.secure()
    assert unchanged
    assert names_shown(after.writer.get_extra_info("ssl_object")) == ["localhost", "new.test"]
    assert await ask(before) == (200, None)


async def test_the_end_of_each_certificate_in_use_is_a_metric(rig: Rig) -> None:
    rig.apply({"tls": rig.tls(days=100)}, {"name": "other", "tls": rig.tls(days=50, stem="other")})
    both = rig.expiries()
    rig.apply({"tls": rig.tls(days=200)})

    assert both.keys() == {"web", "other"}
    assert both["web"] - both["other"] == pytest.approx(50 * 86_400, abs=5)
    assert rig.expiries().keys() == {"web"}
    assert rig.expiries()["web"] - both["web"] == pytest.approx(100 * 86_400, abs=5)


@pytest.mark.parametrize(("days", "told"), [(13.9, "expires soon"), (-1.0, "has expired"), (14.1, None)])
async def test_a_certificate_that_expires_soon_is_warned_of_once(
    rig: Rig, caplog: pytest.LogCaptureFixture, days: float, told: str | None
) -> None:
    rig.apply({"tls": rig.tls(days=days)})
    for _ in range(3):
        await rig.listeners._certificates.look()

    assert [each.rpartition(": ")[0] for each in caplog.messages] == (
        [f"listener web: certificate shop.pem {told}"] if told else []
    )


async def test_files_that_break_between_check_and_use_are_told_with_their_place(rig: Rig) -> None:
    with pytest.raises(ConfigError, match=r"listeners\[0\]\.tls: expected files with a certificate and its key"):
        rig.apply({"tls": {"certificate": "none.pem"}})


async def test_every_address_that_cannot_be_had_is_told_and_nothing_stays_bound(rig: Rig) -> None:
    rig.apply({"name": "taken"})
    taken = rig.address("taken")
    unix = f"unix:{rig.folder}/a.sock"
    with pytest.raises(ConfigError) as caught:
        rig.apply(at(unix), {"name": "b", "bind": taken}, {"name": "c", "bind": "192.0.2.1:1"})

    assert [str(each).partition(":")[0] for each in caught.value.problems] == ["listeners[1].bind", "listeners[2].bind"]
    assert not (rig.folder / "a.sock").exists()


# Unix sockets


@pytest.fixture
def unix(rig: Rig) -> str:
    return f"unix:{rig.folder}/web.sock"


async def test_a_unix_socket_is_served_and_its_file_removed_at_the_end(rig: Rig, unix: str) -> None:
    rig.apply(at(unix))
    wire = await rig.client()
    await wire.send(GET)

    assert (await wire.message()).body == b" http"
    await rig.listeners.close(1.0)
    assert not (rig.folder / "web.sock").exists()


async def test_tls_and_the_proxy_protocol_work_over_a_unix_socket(rig: Rig, unix: str) -> None:
    rig.apply(at(unix, proxy_protocol=True, tls=rig.tls()))
    wire = await rig.client()
    await wire.send(b"PROXY TCP4 192.0.2.1 198.51.100.1 4242 443\r\n")
    await wire.writer.start_tls(trusting(), server_hostname="localhost")
    await wire.send(GET)

    assert (await wire.message()).body == b"192.0.2.1 https"


async def test_a_renamed_listener_keeps_its_unix_socket(rig: Rig, unix: str) -> None:
    rig.apply(at(unix))
    wire = await rig.client()
    await ask(wire)
    rig.apply(at(unix, name="other"))
    await ask(wire)
    rig.apply(at(unix, name="other", tls=rig.tls()))

    assert await ask(await rig.client(unix, ssl=trusting(), server_hostname="localhost")) == (200, None)
    assert await ask(wire) == (200, "close")


async def test_a_unix_socket_that_moves_leaves_no_file(rig: Rig, unix: str) -> None:
    rig.apply(at(unix))
    rig.apply(at(f"{unix}2"))

    assert [each.name for each in rig.folder.iterdir()] == ["web.sock2"]
    assert await ask(await rig.client()) == (200, None)


async def test_a_socket_that_a_dead_server_left_is_replaced(rig: Rig, unix: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(unix.removeprefix("unix:"))

    rig.apply(at(unix))
    assert await ask(await rig.client()) == (200, None)


async def test_a_socket_that_is_in_use_and_a_file_that_is_none_are_left_alone(rig: Rig, unix: str) -> None:
    (rig.folder / "file").write_text("mine")
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(unix.removeprefix("unix:"))
        living.listen(1)
        with pytest.raises(ConfigError) as caught:
            rig.apply(at(unix), {"name": "b", "bind": f"unix:{rig.folder}/file"})

    assert [str(each).rpartition(": ")[2] for each in caught.value.problems] == ["Address already in use"] * 2
    assert (rig.folder / "web.sock").exists()
    assert (rig.folder / "file").read_text() == "mine"


async def test_a_socket_that_another_server_has_taken_over_is_not_removed(rig: Rig, unix: str) -> None:
    rig.apply(at(unix))
    path = unix.removeprefix("unix:")
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        await rig.listeners.close(1.0)

        assert (rig.folder / "web.sock").exists()


async def test_the_file_of_a_unix_socket_has_the_permissions_that_are_asked_for(rig: Rig, unix: str) -> None:
    modes = []
    for mode in ("0660", "0600"):
        rig.apply(at(unix, mode=mode))
        modes.append(stat.S_IMODE((rig.folder / "web.sock").stat().st_mode))

    assert modes == [0o660, 0o600]


# The PROXY protocol


async def test_the_proxied_address_is_the_clients_and_trusted_proxies_say_whose_header_counts(rig: Rig) -> None:
    header = b"PROXY TCP4 192.0.2.1 198.51.100.1 4242 443\r\n"
    rig.apply({"proxy_protocol": True, "trusted_proxies": ["127.0.0.1"]})
    wire = await rig.client()
    await wire.send(header, GET)
    believed = (await wire.message()).body
    rig.apply({"proxy_protocol": True, "trusted_proxies": ["10.0.0.0/8"]})
    stranger = await rig.client()
    await stranger.send(header, GET)

    assert believed == b"192.0.2.1 http"
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await stranger.message()
