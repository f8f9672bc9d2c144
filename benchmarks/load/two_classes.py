"""Requests of two priorities at a constant rate, and what became of each; refusals are answers like others here.

Run by `python -m benchmarks.load.two_classes --port 8080 --rate 4000 --seconds 10 --settle 3 --high 20`.
`--high` is a percentage.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import time
from collections import Counter

CONNECTIONS = 4_000
WAIT_S = 5.0
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "
REQUESTS = {
    level: f"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nx-level: {level}\r\n\r\n".encode() for level in ("high", "low")
}


class Clients:
    """Connections that carry one request each at a time; `answers` counts by priority and status.

    The one that was free last goes first, as in clients' pools, so no more are in use than requests are under way. To
    go round all that there ever were would measure how the memory of thousands of connections is reached.
    """

    def __init__(self, port: int) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.unsent = 0
        self._port = port
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._free: list[int] = []
        self._asked: dict[int, str] = {}
        self._rest: dict[int, bytes] = {}

    def run(self, rate: float, seconds: float, high: int, settle: float) -> None:
        """Send what is due when it is due; count what is answered after `settle` seconds and before the end."""
        clock = time.perf_counter
        began_s, sent, number = clock(), 0, round(rate * seconds)
        while clock() - began_s < seconds:
            if settle and clock() - began_s >= settle:
                self.answers.clear()
                self.unsent, settle = 0, 0.0
            while sent < min(number, (clock() - began_s) * rate):
                self._send("high" if sent * high // 100 != (sent + 1) * high // 100 else "low")
                sent += 1
            self._receive()

    def _send(self, level: str) -> None:
        fd = self._free.pop() if self._free else self._connect()
        if fd < 0:
            self.unsent += 1
            return
        self._asked[fd] = level
        os.write(fd, REQUESTS[level])

    def _connect(self) -> int:
        if len(self._sockets) >= CONNECTIONS:
            return -1
        made = socket.create_connection(("127.0.0.1", self._port), timeout=WAIT_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[made.fileno()] = made
        self._poll.register(made.fileno(), select.EPOLLIN)
        return made.fileno()

    def _receive(self) -> None:
        for fd, _ in self._poll.poll(0.0005):
            data = self._rest.pop(fd, b"") + os.read(fd, 1 << 16)
            if not data:
                raise ConnectionError("expected an answer; got the end of the connection")
            head, separator, body = data.partition(HEAD_END)
            length = int(head.lower().partition(LENGTH)[2].split(b"\r\n", 1)[0] or 0)
            if not separator or len(body) < length:
                self._rest[fd] = data
                continue
            self.answers[self._asked.pop(fd), int(head.split(b" ", 2)[1])] += 1
            self._free.append(fd)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "rate", "seconds", "high", "settle"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    clients = Clients(options.port)
    clients.run(options.rate, options.seconds, options.high, options.settle)
    answers = {f"{level} {status}": count for (level, status), count in sorted(clients.answers.items())}
    print(json.dumps({"answers": answers, "unsent": clients.unsent}))


if __name__ == "__main__":
    main()
