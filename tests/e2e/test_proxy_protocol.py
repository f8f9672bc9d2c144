"""HAProxy, nginx and curl speak the PROXY protocol to the gateway, before HTTP and before TLS."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.certificates import trusting, write_certificate
from tests.e2e.differential.proxies import program
from tests.e2e.gateway_process import GatewayFile, GatewayProcess, eventually, running_gateway
from tests.ports import free_port

YAML = """\
listeners:
  - {name: plain, bind: "127.0.0.1:0", proxy_protocol: true, trusted_proxies: 127.0.0.1}
  - {name: secure, bind: "127.0.0.1:0", proxy_protocol: true, tls: {certificate: shop.pem, key: shop.key}}
admin: {bind: "127.0.0.1:0"}
plugins: [./who.py]
routes: [{name: all, filters: [who]}]
"""
WHO = """\
from meshwright_sdk import Response, filter

@filter
async def who(request, call_next):
    return Response.text(f"{request.client.host} {request.scheme}")
"""
HAPROXY = """
global
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 10s
    timeout server 10s
listen plain
    bind 127.0.0.1:{plain}
    server gateway 127.0.0.1:{to_plain} {send}
listen secure
    bind 127.0.0.1:{secure}
    server gateway 127.0.0.1:{to_secure} {send}
"""
NGINX = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 64; }}
stream {{
    proxy_protocol on;
    server {{ listen 127.0.0.1:{plain}; proxy_pass 127.0.0.1:{to_plain}; }}
    server {{ listen 127.0.0.1:{secure}; proxy_pass 127.0.0.1:{to_secure}; }}
}}
"""
HAS_STREAM = program("nginx") is not None and Path("/usr/lib/nginx/modules/ngx_stream_module.so").exists()
NEEDS_HAPROXY = pytest.mark.skipif(program("haproxy") is None, reason="needs the Debian package haproxy")
NEEDS_NGINX = pytest.mark.skipif(not HAS_STREAM, reason="needs the Debian packages nginx-light, libnginx-mod-stream")
NEEDS_CURL = pytest.mark.skipif(program("curl") is None, reason="needs the Debian package curl")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    write_certificate(tmp_path)
    file = GatewayFile(tmp_path / "gateway.yaml", YAML)
    file.beside("who.py", WHO)
    async with running_gateway(file) as gateway:
        yield gateway


def port_of(gateway: GatewayProcess, name: str) -> int:
    return int(gateway.urls[name].rpartition(":")[2])


@asynccontextmanager
async def proxy(gateway: GatewayProcess, folder: Path, send: str) -> AsyncIterator[tuple[int, int]]:
    """Run a proxy in front of both listeners, and give the ports in front of the plain and the secure one."""
    plain, secure = free_port(), free_port()
    ports = {"plain": plain, "secure": secure}
    ports |= {f"to_{name}": port_of(gateway, name) for name in ("plain", "secure")}
    name, text = ("nginx", NGINX) if send == "nginx" else ("haproxy", HAPROXY)
    file = folder / f"{name}.conf"
    file.write_text(text.format(**ports, folder=folder, send=send))
    arguments = ["-p", str(folder), "-e", "stderr", "-c"] if name == "nginx" else ["-db", "-q", "-f"]
    running = await asyncio.create_subprocess_exec(str(program(name)), *arguments, str(file), stdin=DEVNULL)
    try:
        await eventually(lambda: listens(plain, secure))
        yield plain, secure
    finally:
        if running.returncode is None:
            running.terminate()
        await running.wait()


async def listens(*ports: int) -> bool:
    for port in ports:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
    return True


async def ask_from(address: str, url: str) -> str:
    """Ask from an address of this machine that is not the proxy's."""
    transport = httpx.AsyncHTTPTransport(local_address=address, verify=trusting())
    async with httpx.AsyncClient(transport=transport) as client:
        return (await client.get(url)).text


@pytest.mark.parametrize(
    "send",
    [
        pytest.param("send-proxy", marks=NEEDS_HAPROXY),
        pytest.param("send-proxy-v2", marks=NEEDS_HAPROXY),
        pytest.param("send-proxy-v2 proxy-v2-options crc32c,unique-id", marks=NEEDS_HAPROXY),
        pytest.param("nginx", marks=NEEDS_NGINX),
    ],
)
async def test_the_client_of_a_proxy_is_known(gateway: GatewayProcess, tmp_path: Path, send: str) -> None:
    async with proxy(gateway, tmp_path, send) as (plain, secure):
        assert await ask_from("127.0.0.2", f"http://127.0.0.1:{plain}") == "127.0.0.2 http"
        assert await ask_from("127.0.0.3", f"https://127.0.0.1:{secure}") == "127.0.0.3 https"


@NEEDS_HAPROXY
async def test_the_health_checks_of_a_proxy_are_served(gateway: GatewayProcess, tmp_path: Path) -> None:
    check = "send-proxy-v2 check-send-proxy check inter 100ms"
    async with proxy(gateway, tmp_path, check) as (plain, _):
        await asyncio.sleep(0.5)

        assert await ask_from("127.0.0.2", f"http://127.0.0.1:{plain}") == "127.0.0.2 http"
    assert "Traceback" not in gateway.log


@NEEDS_CURL
async def test_curl_speaks_it_too(gateway: GatewayProcess) -> None:
    curl = str(program("curl"))
    asked = await asyncio.create_subprocess_exec(
        curl, "--silent", "--haproxy-protocol", gateway.urls["plain"], stdout=PIPE
    )
    told, _ = await asked.communicate()

    assert told == b"127.0.0.1 http"


async def test_who_does_not_speak_it_is_not_served_and_counted(gateway: GatewayProcess) -> None:
    for name in ("plain", "secure"):
        with pytest.raises(httpx.TransportError):
            await ask_from("127.0.0.1", gateway.urls[name])
    with pytest.raises(httpx.TransportError):
        await ask_from("127.0.0.2", gateway.urls["plain"])  # no trusted proxy

    page = (await gateway.get("/metrics")).text
    count = 'meshwright_connections_refused_total{listener="%s",reason="proxy_protocol"} %d'
    assert count % ("plain", 2) in page
    assert count % ("secure", 1) in page
