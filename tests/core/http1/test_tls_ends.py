"""Answers over TLS that last until the connection ends: only a closure alert tells a whole one from one cut short."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from meshwright.config.model import ServiceTlsConfig
from meshwright.net.client_tls import ClientTls
from meshwright.traffic.pool import Pool, PoolLimits
from meshwright_sdk import ResetError, Response, parse_origin
from meshwright_sdk.testing import make_request
from tests.certificates import write_certificate
from tests.core.http1.line import content, take
from tests.core.http1.wire import Script, Wire, scripted_upstream, turns, until

WHOLE = b"HTTP/1.1 200 OK\r\n\r\n"


@asynccontextmanager
async def tls_line_to(script: Script, folder: Path, version: ssl.TLSVersion) -> AsyncIterator[Pool]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_certificate(folder, "127.0.0.1"))
    context.maximum_version = version
    async with scripted_upstream(script, tls=context) as upstream:
        tls = ClientTls(ServiceTlsConfig(verify=False), folder)
        pool = Pool(parse_origin(upstream.url.replace("http:", "https:")), PoolLimits(), tls)
        yield pool
        pool.close()
        await until(lambda: not pool.open)


async def answer_of(pool: Pool) -> Response:
    return await (await take(pool)).exchange(make_request())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("body", [b"", b"hello", bytes(300_000)], ids=len)
async def test_an_answer_is_whole_when_the_endpoint_says_that_it_ends(
    tmp_path: Path, version: ssl.TLSVersion, body: bytes
) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(WHOLE, body)

    async with tls_line_to(script, tmp_path, version) as pool:
        assert await content(await answer_of(pool)) == body


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("body", [b"", b"hello", bytes(300_000)], ids=len)
async def test_an_answer_that_somebody_cut_short_breaks_off(
    tmp_path: Path, version: ssl.TLSVersion, body: bytes
) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(WHOLE, body)
        await taken.wait()
        wire.writer.transport.abort()
        await turns()

    taken = asyncio.Event()
    async with tls_line_to(script, tmp_path, version) as pool:
        pieces = aiter((await answer_of(pool)).body)
        left = len(body)
        while left:
            left -= len(await anext(pieces))
        taken.set()
        with pytest.raises(ResetError):
            await anext(pieces)


@pytest.mark.parametrize(
    "framing", [b"content-length: 2\r\n\r\nok", b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"]
)
async def test_an_answer_that_says_its_length_needs_no_end(tmp_path: Path, framing: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(b"HTTP/1.1 200 OK\r\n", framing)
        await turns(50)
        wire.writer.transport.abort()

    async with tls_line_to(script, tmp_path, ssl.TLSVersion.TLSv1_3) as pool:
        assert await content(await answer_of(pool)) == b"ok"
