"""Listeners with rules of their own in one gateway: whom they believe, what the service gets, also after a reload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.core.http1.test_proxy import Keeping
from tests.core.http1.wire import Message, connect, scripted_upstream
from tests.e2e.gateway_process import GatewayFile, eventually, running_gateway

YAML = """\
listeners:
  - {name: open, bind: "127.0.0.1:0"}
  - name: behind
    bind: "127.0.0.1:0"
    trusted_proxies: 127.0.0.0/8
    forwarded: both
    via: edge
    path: {merge_slashes: false, encoded_slash: decode}
  - {name: local, bind: "unix:SOCKET", trusted_proxies: [unix]}
admin: {bind: "127.0.0.1:0"}
routes:
  - {name: inner, match: {path: "/inner/*"}, to: inner}
  - {name: all, to: back}
services:
  back: {endpoints: ["UPSTREAM"]}
  inner: {endpoints: ["UPSTREAM"], host: endpoint}
"""
CLAIMS = "x-forwarded-for: 6.6.6.6, 192.0.2.1\r\nx-forwarded-proto: https\r\n"


def request(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nhost: shop.test:81\r\n{CLAIMS}\r\n".encode()


async def ask(url: str, target: str) -> Message:
    """Ask a listener, in which the test is a proxy."""
    wire = await connect(int(url.rpartition(":")[2]))
    await wire.send(request(target))
    answer = await wire.message()
    wire.close()
    return answer


async def ask_socket(path: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(request("/a"))
    line = await reader.readline()
    writer.close()
    return line


@asynccontextmanager
async def gateway_file(folder: Path) -> AsyncIterator[tuple[GatewayFile, list[Message]]]:
    script = Keeping()
    async with scripted_upstream(script) as upstream:
        text = YAML.replace("UPSTREAM", upstream.url).replace("SOCKET", str(folder / "web.sock"))
        yield GatewayFile(folder / "gateway.yaml", text), script.requests


async def test_each_listener_goes_by_its_own_rules(tmp_path: Path) -> None:
    async with gateway_file(tmp_path) as (file, requests), running_gateway(file) as gateway:
        answers = [await ask(gateway.urls[name], "//a%2fb") for name in ("open", "behind")]
        line = await ask_socket(tmp_path / "web.sock")
        await ask(gateway.urls["open"], "/inner/a")
        assert await gateway.stop() == 0

    stranger, proxied, local, inner = requests
    assert [answer.headers.get("via") for answer in answers] == [None, "1.1 edge"]
    assert (stranger.target, stranger.headers["x-forwarded-for"]) == ("/a%2Fb", "127.0.0.1")
    assert (stranger.headers["x-forwarded-proto"], stranger.headers["host"]) == ("http", "shop.test:81")
    assert (proxied.target, proxied.headers["x-forwarded-for"]) == ("//a/b", "6.6.6.6, 192.0.2.1, 127.0.0.1")
    assert (proxied.headers["x-forwarded-proto"], proxied.headers["via"]) == ("https", "1.1 edge")
    assert 'for=192.0.2.1;host="shop.test:81";proto=https' in proxied.headers["forwarded"]
    assert (line, local.headers["x-forwarded-for"]) == (b"HTTP/1.1 200 OK\r\n", "6.6.6.6, 192.0.2.1")
    assert (inner.headers["host"].rpartition(":")[0], inner.headers["x-forwarded-host"]) == (
        "127.0.0.1",
        "shop.test:81",
    )


async def test_a_reload_changes_whom_a_listener_believes(tmp_path: Path) -> None:
    async with gateway_file(tmp_path) as (file, requests), running_gateway(file) as gateway:
        file.replace("trusted_proxies: 127.0.0.0/8", "trusted_proxies: 10.0.0.0/8")
        assert (await gateway.post("/api/reload")).status_code == 200

        async def forgotten() -> bool:
            await ask(gateway.urls["behind"], "/a")
            return requests[-1].headers["x-forwarded-for"] == "127.0.0.1"

        await eventually(forgotten)
        assert await gateway.stop() == 0
