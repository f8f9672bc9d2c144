"""Requests at a constant rate over keep-alive connections, each timed from the moment when it should have been sent.

An answer that comes late delays no later request, so that waiting is not left out of the figures, as it would be if
the next request were sent after the last answer. It sleeps in select(2), whose microseconds epoll has not.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from benchmarks.load.streams import percentile_us

BODY = b"x" * 100
REQUEST = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
OK = b"HTTP/1.1 200 "
WAIT_S = 5.0


class OpenLoop:
    """`took` and `late` are in seconds: from due to answered, and from due to sent, of each request."""

    def __init__(self, port: int, connections: int) -> None:
        self.took: list[float] = []
        self.late: list[float] = []
        self.errors = 0
        self._poll = select.epoll()
        self._sockets = [socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) for _ in range(connections)]
        self._free = deque(each.fileno() for each in self._sockets)
        self._rest: dict[int, bytes] = {}
        self._due: dict[int, float] = {}
        for each in self._sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(each.fileno(), select.EPOLLIN)

    def run(self, rate: float, seconds: float) -> None:
        """Send what is due when it is due, or as soon after as a connection is free."""
        clock, number, sent = time.perf_counter, round(rate * seconds), 0
        due_s = began_s = clock()
        while sent < number:
            now = clock()
            while due_s <= now and self._free and sent < number:
                self._send(due_s, now)
                sent += 1
                due_s = began_s + sent / rate
                now = clock()
            self._receive(max(0.0, due_s - now) if self._free else WAIT_S)
        last_s = clock() + WAIT_S
        while self._due and clock() < last_s:
            self._receive(WAIT_S)
        self.errors += len(self._due)

    def close(self) -> None:
        """End the connections."""
        self._poll.close()
        for each in self._sockets:
            each.close()

    def _send(self, due_s: float, now: float) -> None:
        fd = self._free.popleft()
        self._due[fd] = due_s
        self.late.append(now - due_s)
        os.write(fd, REQUEST)

    def _receive(self, timeout_s: float) -> None:
        ready, _, _ = select.select([self._poll], [], [], timeout_s)
        for fd, _ in self._poll.poll(0) if ready else ():
            data = self._rest.pop(fd, b"") + os.read(fd, 1 << 16)
            if data.endswith(BODY):
                self.took.append(time.perf_counter() - self._due.pop(fd))
                self.errors += not data.startswith(OK)
                self._free.append(fd)
            elif data:
                self._rest[fd] = data
            else:
                raise ConnectionError("expected an answer; got the end of the connection")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "connections", "rate", "seconds"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    with suppress(OSError):  # else the kernel wakes us up to 50 µs late
        Path("/proc/self/timerslack_ns").write_text("1", "ascii")
    try:
        loop = OpenLoop(options.port, options.connections)
        began_s = time.perf_counter()
        loop.run(options.rate, options.seconds)
    except OSError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    took, late = sorted(loop.took), sorted(loop.late)
    seen = {
        "requests": len(took),
        "duration_us": round((time.perf_counter() - began_s) * 1e6),
        "bytes": len(took) * len(BODY),
        "p50_us": percentile_us(took, 0.50),
        "p99_us": percentile_us(took, 0.99),
        "errors": loop.errors,
        "late_p99_us": percentile_us(late, 0.99),
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
