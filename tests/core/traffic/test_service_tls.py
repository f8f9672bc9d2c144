from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from meshwright.config.model import ServiceTlsConfig
from meshwright.net.client_tls import ClientTls
from meshwright.traffic.chooser import Chooser
from meshwright.traffic.pool import Pool, PoolLimits
from meshwright.traffic.service import Service
from meshwright_plugins.balancers.weighted_round_robin import WeightedRoundRobin
from meshwright_sdk import ConnectError, Context, Instance, Metrics, NoOptions, ResetError, parse_origin
from meshwright_sdk.testing import make_request
from tests.certificates import authority, write_authority, write_certificate
from tests.core.http1.wire import Wire, scripted_upstream, until
from tests.core.traffic.test_service import Told, answer


def upstream_context(folder: Path, *names: str, by: str = "tests", client_ca: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_certificate(folder, *(names or ("127.0.0.1",)), stem="upstream", by=by))
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        authority(by).configure_trust(context)
    return context


@asynccontextmanager
async def service_to(
    folder: Path, context: ssl.SSLContext, **tls: Any
) -> AsyncIterator[tuple[Service, list[Wire], Told]]:
    async with scripted_upstream(answer, tls=context) as upstream:
        discovery = Told()
        instance = Instance(url=upstream.url.replace("http:", "https:"))
        late = tls.pop("late", False)
        discovery.reports.put_nowait([] if late else [instance])
        chooser = Chooser(WeightedRoundRobin(NoOptions(), Context()))
        service = Service(
            "orders",
            chooser=chooser,
            discovery=discovery,
            limits=PoolLimits(),
            metrics=Metrics(),
            tls=ClientTls(ServiceTlsConfig.model_validate(tls), folder),
        )
        await chooser.start()
        await service.start()
        if late:
            discovery.reports.put_nowait([instance])
            await until(lambda: bool(service.endpoints))
        try:
            yield service, upstream.wires, discovery
        finally:
            await service.close()
            for endpoint in service.endpoints:
                for connection in tuple(endpoint.pool._active):
                    connection.abort()
            await until(lambda: not any(each.pool.open for each in service.endpoints))


async def ask(service: Service) -> int:
    response = await service.call(make_request())
    await response.aclose()
    return response.status


async def test_a_certificate_of_the_authority_for_the_host_is_believed(tmp_path: Path) -> None:
    write_authority(tmp_path)
    async with service_to(tmp_path, upstream_context(tmp_path), ca="ca.pem") as (service, *_):
        assert await ask(service) == 200


@pytest.mark.parametrize(
    ("names", "by", "tls", "why"),
    [
        (("127.0.0.1",), "strangers", {"ca": "ca.pem"}, "unable to get local issuer certificate"),
        (("127.0.0.1",), "tests", {}, "unable to get local issuer certificate"),
        (("other.test",), "tests", {"ca": "ca.pem"}, "IP address mismatch, certificate is not valid for '127.0.0.1'."),
        (
            ("other.test",),
            "tests",
            {"ca": "ca.pem", "server_name": "orders.test"},
            "Hostname mismatch, certificate is not valid for 'orders.test'.",
        ),
    ],
)
async def test_a_certificate_that_is_not_believed_is_no_connection_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, names: tuple[str], by: str, tls: dict[str, Any], why: str
) -> None:
    write_authority(tmp_path)
    async with service_to(tmp_path, upstream_context(tmp_path, *names, by=by), **tls) as (service, *_):
        for _ in range(3):
            with pytest.raises(ConnectError):
                await ask(service)

        assert service.endpoints[0].pool.connect_failures == 3
    (line,) = caplog.messages
    assert line.partition(": ")[2] == f"cannot be reached: its certificate is not trusted: {why}"


async def test_the_name_that_is_wanted_may_be_another_one_than_the_host(tmp_path: Path) -> None:
    write_authority(tmp_path)
    asked: list[str | None] = []
    context = upstream_context(tmp_path, "orders.test")
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with service_to(tmp_path, context, ca="ca.pem", server_name="orders.test") as (service, *_):
        assert await ask(service) == 200
    assert asked == ["orders.test"]


async def test_without_verification_whoever_answers_is_believed(tmp_path: Path) -> None:
    async with service_to(tmp_path, upstream_context(tmp_path, "x.test", by="strangers"), verify=False) as (
        service,
        *_,
    ):
        assert await ask(service) == 200


async def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    write_authority(tmp_path)
    write_certificate(tmp_path, "gateway@example.com", stem="client")
    context = upstream_context(tmp_path, client_ca=True)
    tls: dict[str, Any] = {"ca": "ca.pem", "certificate": "client.pem", "key": "client.key"}
    async with service_to(tmp_path, context, **tls) as (service, wires, _):
        assert await ask(service) == 200

        shown = wires[0].writer.get_extra_info("peercert")
        assert shown["subjectAltName"] == (("email", "gateway@example.com"),)


@contextmanager
def alerting_endpoint(context: ssl.SSLContext) -> Iterator[int]:
    """Yield the port of a server that tells one client by an alert what it lacks, as asyncio's does not."""

    def refuse(listening: socket.socket) -> None:
        accepted, _ = listening.accept()
        connection = context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        with suppress(ssl.SSLError):
            connection.do_handshake()
        with socket.socket(fileno=connection.detach()) as plain, suppress(ConnectionError):
            while plain.recv(4096):  # else its end would be a reset, which overtakes the alert
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=refuse, args=(listening,))
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


async def test_the_alert_about_a_missing_client_certificate_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_authority(tmp_path)
    tls = ClientTls(ServiceTlsConfig(ca="ca.pem"), tmp_path)
    with alerting_endpoint(upstream_context(tmp_path, client_ca=True)) as port:
        pool = Pool(parse_origin(f"https://127.0.0.1:{port}"), PoolLimits(), tls)
        connection = await pool.take_new()
        with pytest.raises(ResetError) as caught:
            await connection.exchange(make_request())

        pool.no_answer(connection, caught.value)
        pool.no_answer(connection, caught.value)
    (line,) = [message for message in caplog.messages if "got no answer" in message]
    assert "CERTIFICATE_REQUIRED" in line


async def test_renewed_files_are_for_new_connections(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "meshwright.tls")
    write_authority(tmp_path, name="strangers")
    async with service_to(tmp_path, upstream_context(tmp_path), ca="ca.pem") as (service, *_):
        with pytest.raises(ConnectError):
            await ask(service)
        write_authority(tmp_path, name="tests")
        for _ in range(2):
            service._tls.renew("service orders")

        assert await ask(service) == 200
        (tmp_path / "ca.pem").write_text("broken")
        for _ in range(4):
            service._tls.renew("service orders")
        assert await ask(service) == 200
    told = [record.getMessage() for record in caplog.records if record.name == "meshwright.tls"]
    assert [line.partition(":")[2][:40] for line in told] == [
        " its TLS files are renewed",
        " the changed TLS files cannot be used, t",
    ]


async def test_a_half_written_file_of_a_service_is_tried_again(tmp_path: Path) -> None:
    write_authority(tmp_path, name="strangers")
    async with service_to(tmp_path, upstream_context(tmp_path), ca="ca.pem") as (service, *_):
        write_authority(tmp_path, name="tests")
        file = tmp_path / "ca.pem"
        whole, looks = file.read_bytes(), os.stat(file)
        for content in (bytes(len(whole)), whole):
            file.write_bytes(content)
            os.utime(file, ns=(looks.st_atime_ns, looks.st_mtime_ns))
            for _ in range(2):
                service._tls.renew("service orders")

        assert await ask(service) == 200


async def test_files_are_looked_at_while_the_service_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshwright.traffic.service._LOOK_S", 0.01)
    write_authority(tmp_path)
    async with service_to(tmp_path, upstream_context(tmp_path), ca="ca.pem") as (service, *_):
        before = service._tls.context
        write_authority(tmp_path, name="strangers")
        await until(lambda: service._tls.context is not before)


async def test_an_https_endpoint_that_discovery_finds_later_is_served(tmp_path: Path) -> None:
    write_authority(tmp_path)
    async with service_to(tmp_path, upstream_context(tmp_path), late=True, ca="ca.pem") as (service, *_):
        await until(lambda: service._tls.context is not None)
        assert await ask(service) == 200


async def test_services_without_files_of_their_own_share_what_takes_long_to_make() -> None:
    one, other = ClientTls(), ClientTls(ServiceTlsConfig(server_name="orders.test"))
    careless = ClientTls(ServiceTlsConfig(verify=False))

    assert await one.ready() is await other.ready()
    assert (await careless.ready()).verify_mode == ssl.CERT_NONE
    assert (await one.ready()).verify_mode == ssl.CERT_REQUIRED
