"""TLS as operators have it: real processes, renewed files, client certificates, verified services, Unix sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.certificates import trusting, write_authority, write_certificate
from tests.core.http1.wire import scripted_upstream
from tests.core.traffic.test_service import answer
from tests.core.traffic.test_service_tls import upstream_context
from tests.e2e.differential.proxies import program
from tests.e2e.gateway_process import GatewayFile, Upstream, eventually, refused_gateway, running_gateway

EITHER = pytest.mark.parametrize("workers", ["1", "2"])
SECURE = '{name: web, bind: "127.0.0.1:0", tls: {certificate: shop.pem, key: shop.key}}'


@pytest.fixture
def secure(file: GatewayFile) -> GatewayFile:
    write_certificate(file.path.parent, "localhost", "127.0.0.1", "old.test")
    file.replace('{name: web, bind: "127.0.0.1:0"}', SECURE)
    return file


async def names_at(url: str) -> list[str]:
    """Return the names in the certificate that is shown."""
    port = int(url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(), server_hostname="localhost")
    names = [name for kind, name in writer.get_extra_info("peercert")["subjectAltName"] if kind == "DNS"]
    writer.close()
    return names


@EITHER
async def test_a_renewed_certificate_is_in_use_without_a_reload_and_no_connection_ends(
    secure: GatewayFile, workers: str
) -> None:
    client = httpx.AsyncClient(verify=trusting(), limits=httpx.Limits(keepalive_expiry=None))
    async with running_gateway(secure, "--workers", workers) as gateway, client:
        first = await client.get(gateway.url)
        write_certificate(secure.path.parent, "localhost", "127.0.0.1", "new.test")

        async def all_renewed() -> bool:
            shown = [await names_at(gateway.url) for _ in range(8)]
            return all("new.test" in names for names in shown)

        await eventually(all_renewed)
        ports = {(await client.get(gateway.url)).extensions["network_stream"].get_extra_info("client_addr")}
        ports.add(first.extensions["network_stream"].get_extra_info("client_addr"))

        assert len(ports - {None}) == len(ports) == 1
        assert await gateway.versions() == [1] * int(workers)
        assert gateway.log.count("certificate shop.pem is renewed") == int(workers)


async def test_a_broken_renewal_is_logged_once_and_the_old_certificate_goes_on(secure: GatewayFile) -> None:
    async with running_gateway(secure) as gateway:
        secure.beside("shop.pem", "broken")

        async def told() -> bool:
            return "cannot be used" in gateway.log

        await eventually(told)
        await asyncio.sleep(2.5)
        assert "old.test" in await names_at(gateway.url)
        assert gateway.log.count("listener web: the changed certificates cannot be used, those before go on") == 1


async def test_run_and_check_refuse_the_same_with_its_place(secure: GatewayFile) -> None:
    write_certificate(secure.path.parent, stem="other")
    secure.replace("key: shop.key", "key: other.key")

    code, lines = await refused_gateway(secure.path)
    check = await asyncio.create_subprocess_exec(
        str(program("meshwright")), "check", str(secure.path), stdout=PIPE, stderr=PIPE
    )
    _, told = await check.communicate()

    assert (code, check.returncode) == (1, 1)
    for text in ("\n".join(lines), told.decode()):
        assert "listeners[0].tls.key: expected the private key of the certificate; got " in text


@asynccontextmanager
async def secure_upstream(folder: Path, by: str) -> AsyncIterator[str]:
    async with scripted_upstream(answer, tls=upstream_context(folder, by=by)) as upstream:
        yield upstream.url.replace("http:", "https:")


async def test_a_service_is_verified_and_a_new_authority_is_taken_up(file: GatewayFile, upstream: Upstream) -> None:
    folder = file.path.parent
    write_authority(folder, name="strangers")
    async with secure_upstream(folder, "tests") as url:
        file.replace(f'endpoints: ["{upstream.url}"]', f'endpoints: ["{url}"], tls: {{ca: ca.pem}}')
        async with running_gateway(file) as gateway, httpx.AsyncClient() as client:
            refused = [await client.get(gateway.url) for _ in range(3)]
            write_authority(folder, name="tests")

            async def served() -> bool:
                return (await client.get(gateway.url)).status_code == 200

            await eventually(served)

            assert [(each.status_code, each.json()["code"]) for each in refused] == [
                (502, "upstream_connect_failed")
            ] * 3
            assert gateway.log.count("its certificate is not trusted: unable to get local issuer certificate") == 1


async def test_a_service_that_is_not_verified_is_warned_of(file: GatewayFile, upstream: Upstream) -> None:
    async with secure_upstream(file.path.parent, "strangers") as url:
        file.replace(f'endpoints: ["{upstream.url}"]', f'endpoints: ["{url}"], tls: {{verify: false}}')
        async with running_gateway(file) as gateway, httpx.AsyncClient() as client:
            assert (await client.get(gateway.url)).status_code == 200
            assert (
                "services.back.tls.verify: expected that endpoints' certificates are verified; got false" in gateway.log
            )


@pytest.mark.skipif(program("curl") is None, reason="needs the Debian package curl")
async def test_unix_sockets_as_listener_and_as_endpoint(tmp_path: Path) -> None:
    front, back = tmp_path / "front.sock", tmp_path / "back.sock"
    inner = GatewayFile(
        tmp_path / "inner.yaml",
        f'listeners: [{{name: web, bind: "unix:{back}"}}]\nadmin: {{bind: "127.0.0.1:0"}}\n'
        "routes: [{name: all, filters: [respond: {text: from inside}]}]\n",
    )
    outer = GatewayFile(
        tmp_path / "outer.yaml",
        f'listeners: [{{name: web, bind: "unix:{front}", mode: "0600"}}]\nadmin: {{bind: "127.0.0.1:0"}}\n'
        f'routes: [{{name: all, to: inner}}]\nservices: {{inner: {{endpoints: ["unix:{back}"]}}}}\n',
    )
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(front))
    async with running_gateway(inner) as first, running_gateway(outer) as second:
        curl = await asyncio.create_subprocess_exec(
            str(program("curl")), "--silent", "--unix-socket", str(front), "http://inside/", stdout=PIPE
        )
        told, _ = await curl.communicate()
        code, lines = await refused_gateway(outer.path)
        ended = [await second.stop(), await first.stop()]

    assert (told, ended) == (b"from inside", [0, 0])
    assert (code, f"unix:{front}: Address already in use" in "\n".join(lines)) == (1, True)
    assert (front.exists(), back.exists()) == (False, False)


async def test_a_client_without_a_certificate_is_refused_where_one_is_required(secure: GatewayFile) -> None:
    folder = secure.path.parent
    write_authority(folder)
    mine = write_certificate(folder, "me@example.com", stem="client")
    secure.replace("key: shop.key}", "key: shop.key, client_ca: ca.pem}")
    async with running_gateway(secure) as gateway:
        async with httpx.AsyncClient(verify=trusting(certificate=mine)) as client:
            assert (await client.get(gateway.url)).status_code == 200
        with pytest.raises((httpx.TransportError, ssl.SSLError)):
            async with httpx.AsyncClient(verify=trusting()) as client:
                await client.get(gateway.url)
