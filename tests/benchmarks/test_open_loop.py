from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.load.open_loop import BODY, OpenLoop

ANSWER = b"HTTP/1.1 %d Some\r\nContent-Length: 100\r\n\r\n" + BODY
STALL_S = 0.3


class Server(socketserver.ThreadingTCPServer):
    """Answers each request, and lets all of them wait once if it is told to."""

    daemon_threads = True

    def __init__(self, *, stalls: bool = False, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.status = status
        self.turn = threading.Lock()
        self.answered = 0
        self.stalls = stalls
        self.stall_over = threading.Event()


class Answers(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        while self.request.recv(1 << 16):
            with server.turn:
                server.answered += 1
                if server.stalls and server.answered == 20:
                    server.stall_over.wait(STALL_S)
                self.request.sendall(ANSWER % server.status)


@contextmanager
def serving(server: Server) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    with server:
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
    thread.join()


@contextmanager
def open_loop(port: int, connections: int) -> Iterator[OpenLoop]:
    loop = OpenLoop(port, connections)
    try:
        yield loop
    finally:
        loop.close()


def test_the_rate_is_kept() -> None:
    with serving(Server()) as port, open_loop(port, 8) as loop:
        loop.run(rate=200, seconds=0.5)

    assert len(loop.took) == 100
    assert loop.errors == 0


def test_requests_that_were_due_while_the_server_stalled_count_their_waiting() -> None:
    with serving(Server(stalls=True)) as port, open_loop(port, 4) as loop:
        loop.run(rate=200, seconds=0.6)

    waited = [took_s for took_s in loop.took if took_s > STALL_S / 3]
    assert len(loop.took) == 120
    assert len(waited) > 20  # with the next request sent after the last answer it would be 4, one a connection


def test_an_answer_other_than_200_is_an_error() -> None:
    with serving(Server(status=502)) as port, open_loop(port, 1) as loop:
        loop.run(rate=50, seconds=0.2)

    assert loop.errors == 10
