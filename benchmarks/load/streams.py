"""Long-lived connections through a proxy: this program is both their clients and the backend behind it.

One message is under way on each connection: the next one starts when the last one has arrived. All frames are made
before, and one loop over epoll plays both ends, so that the proxy, and not this program, is the bottleneck.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator

PAYLOAD = b"x" * 100
HEAD_END = b"\r\n\r\n"
WAIT_S = 5.0

# RFC 6455: a client's frame is masked, here with zeros, which leave the payload as it is.
CLIENT_FRAME = b"\x82" + bytes([0x80 | len(PAYLOAD)]) + bytes(4) + PAYLOAD
SERVER_FRAME = b"\x82" + bytes([len(PAYLOAD)]) + PAYLOAD
KEY = base64.b64encode(bytes(16))
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest())

UPGRADE = (
    b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + HEAD_END
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT + HEAD_END
)

# 100 bytes of event make one chunk. A proxy may cut the stream anew, but the end of an event stays where it is.
EVENT_END = b"\n\n\r\n"
EVENT = b"data: " + PAYLOAD[:92] + b"\n\n"
EVENT_CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
SUBSCRIBE = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
SUBSCRIBED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class StreamError(Exception):
    """A stream did not open, broke, or brought something else than was sent."""


class Stream:
    """One connection through the proxy: its client's end and its backend's end, and the message under way."""

    __slots__ = ("backend", "began_s", "client", "rest")

    def __init__(self, client: socket.socket, backend: socket.socket) -> None:
        self.client = client
        self.backend = backend
        self.began_s = 0.0
        self.rest = b""


class Echo:
    """WebSocket messages to the backend and back."""

    def open(self, stream: Stream) -> None:
        read_head(stream.backend)
        stream.backend.sendall(SWITCHED)
        head, rest = read_head(stream.client)
        if b" 101 " not in head or ACCEPT not in head or rest:
            raise StreamError(f"expected 101 and the right key; got {head!r}")

    def request(self) -> bytes:
        return UPGRADE

    def start(self, stream: Stream) -> None:
        os.write(stream.client.fileno(), CLIENT_FRAME)

    def at_backend(self, stream: Stream) -> None:
        """Answer a whole frame of the client with the backend's."""
        data = stream.rest + read(stream.backend)
        if len(data) < len(CLIENT_FRAME):
            stream.rest = data
            return
        if data != CLIENT_FRAME:
            raise StreamError(f"backend: expected the client's frame; got {data!r}")
        stream.rest = b""
        os.write(stream.backend.fileno(), SERVER_FRAME)

    def at_client(self, stream: Stream) -> bool:
        """Tell whether the whole message is back."""
        data = stream.rest + read(stream.client)
        if len(data) < len(SERVER_FRAME):
            stream.rest = data
            return False
        if data != SERVER_FRAME:
            raise StreamError(f"client: expected the backend's frame; got {data!r}")
        stream.rest = b""
        return True


class Events:
    """Server-sent events from the backend to the client. The first one travels with the head."""

    def open(self, stream: Stream) -> None:
        read_head(stream.backend)
        stream.backend.sendall(SUBSCRIBED + EVENT_CHUNK)
        head, rest = read_head(stream.client)
        if b" 200 " not in head or b"text/event-stream" not in head:
            raise StreamError(f"expected 200 and a stream of events; got {head!r}")
        while not rest.endswith(EVENT_END):
            rest += read(stream.client)

    def request(self) -> bytes:
        return SUBSCRIBE

    def start(self, stream: Stream) -> None:
        os.write(stream.backend.fileno(), EVENT_CHUNK)

    def at_backend(self, stream: Stream) -> None:
        raise StreamError(f"backend: expected nothing from the client; got {read(stream.backend)!r}")

    def at_client(self, stream: Stream) -> bool:
        """Tell whether the whole event is there, in however many chunks."""
        data = stream.rest + read(stream.client)
        if not data.endswith(EVENT_END):
            stream.rest = data
            return False
        if EVENT not in data:
            raise StreamError(f"client: expected an event; got {data!r}")
        stream.rest = b""
        return True


Traffic = Echo | Events
KINDS: dict[str, Callable[[], Traffic]] = {"websocket": Echo, "events": Events}


def read(sock: socket.socket) -> bytes:
    data = sock.recv(1 << 16)
    if not data:
        raise StreamError("expected an open connection; got its end")
    return data


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    """Read to the end of a head; return it, and what came after it."""
    data = b""
    while HEAD_END not in data:
        data += read(sock)
    head, _, rest = data.partition(HEAD_END)
    return head + HEAD_END, rest


def opened(traffic: Traffic, listener: socket.socket, port: int, number: int) -> Iterator[Stream]:
    """Open the connections one after the other; what comes to the backend then belongs to the last client."""
    for _ in range(number):
        client = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        client.sendall(traffic.request())
        backend, _address = listener.accept()
        backend.settimeout(WAIT_S)
        for each in (client, backend):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = Stream(client, backend)
        traffic.open(stream)
        yield stream


def drive(traffic: Traffic, streams: list[Stream], seconds: float) -> list[float]:
    """Keep one message under way on each stream for so long; return how long each message took."""
    poll, clock, took = select.epoll(), time.perf_counter, []
    at: dict[int, tuple[Stream, bool]] = {}
    for stream in streams:
        for end, is_client in ((stream.client, True), (stream.backend, False)):
            at[end.fileno()] = (stream, is_client)
            poll.register(end.fileno(), select.EPOLLIN)
    for stream in streams:
        stream.began_s = clock()
        traffic.start(stream)
    until = clock() + seconds
    while (now := clock()) < until:
        ready = poll.poll(WAIT_S)
        if not ready:
            raise StreamError(f"expected a message within {WAIT_S} s; got none")
        for fd, _ in ready:
            stream, is_client = at[fd]
            if not is_client:
                traffic.at_backend(stream)
            elif traffic.at_client(stream):
                now = clock()
                took.append(now - stream.began_s)
                stream.began_s = now
                traffic.start(stream)
    return took


def percentile_us(took: list[float], share: float) -> int:
    return round(took[min(len(took) - 1, int(len(took) * share))] * 1e6) if took else 0


def measured(traffic: Traffic, *, upstream_port: int, port: int, number: int, seconds: float) -> dict[str, int]:
    """Take the upstream port, open the streams, and drive them; return what was seen."""
    with socket.create_server(("127.0.0.1", upstream_port), backlog=1024) as listener:
        listener.settimeout(WAIT_S)
        streams = list(opened(traffic, listener, port, number))
        began_s = time.perf_counter()
        took = sorted(drive(traffic, streams, seconds))
        duration_s = time.perf_counter() - began_s
    return {
        "requests": len(took),
        "duration_us": round(duration_s * 1e6),
        "bytes": len(took) * len(PAYLOAD),
        "p50_us": percentile_us(took, 0.50),
        "p99_us": percentile_us(took, 0.99),
        "errors": 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    for name in ("upstream-port", "port", "streams", "seconds"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    ports = {"upstream_port": options.upstream_port, "port": options.port}
    try:
        seen = measured(KINDS[options.kind](), **ports, number=options.streams, seconds=options.seconds)
    except (StreamError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
