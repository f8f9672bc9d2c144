from __future__ import annotations

import asyncio
import socket

import pytest

from tests.ports import HOST, free_port


@pytest.mark.parametrize("times", [1, 2])
async def test_a_port_is_one_servers_alone_and_refuses_connections_while_it_is_down(times: int) -> None:
    port = free_port()
    for _ in range(times):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, port)
        server = await asyncio.start_server(lambda _, writer: writer.close(), HOST, port)
        reader, writer = await asyncio.open_connection(HOST, port)
        assert await reader.read() == b""
        writer.close()
        server.close()
        await server.wait_closed()
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind((HOST, port))
