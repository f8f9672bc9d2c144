"""An upstream that is told how to behave: how long it takes, with which status, and it counts what it is asked.

`GET /-/behave?delay_ms=2000&status=503` changes it for all requests but those of this kind, `GET /-/seen` returns how
many others there were, and `GET /-/times` when each came. Run by `python -m benchmarks.load.upstream --port 8001`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import uvloop

BODY = b"x" * 100
HEAD_END = b"\r\n\r\n"


class Behaviour:
    """What every connection goes by."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.status = 200
        self.times: list[float] = []

    def change(self, query: str) -> None:
        given = dict(parse_qsl(query))
        self.delay_s = float(given.get("delay_ms", self.delay_s * 1000)) / 1000
        self.status = int(given.get("status", self.status))


class Connection(asyncio.Protocol):
    """Requests without content, one after the other."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._loop = asyncio.get_running_loop()
        self._transport = cast("asyncio.Transport", None)
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *heads, self._rest = (self._rest + data).split(HEAD_END)
        for head in heads:
            self._answer(head.split(b" ", 2)[1].decode("ascii"))

    def _answer(self, target: str) -> None:
        behaviour = self._behaviour
        if target.startswith("/-/"):
            url = urlsplit(target)
            if url.path == "/-/behave":
                behaviour.change(url.query)
            seen = behaviour.times if url.path == "/-/times" else len(behaviour.times)
            self._write(200, json.dumps({"seen": seen}).encode())
            return
        behaviour.times.append(time.monotonic())
        if behaviour.delay_s:
            self._loop.call_later(behaviour.delay_s, self._write, behaviour.status, BODY)
        else:
            self._write(behaviour.status, BODY)

    def _write(self, status: int, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))


async def serve(port: int) -> None:
    behaviour = Behaviour()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(behaviour), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
