"""Bodies of a gibibyte through a gateway whose memory must not grow with them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.experiments.experiment import Bench
from benchmarks.gateway import Gateway, start_gateway
from benchmarks.report.finding import Report, below
from benchmarks.report.table import table
from benchmarks.scenario import PLAIN
from benchmarks.servers import BenchmarkError, memory_bytes
from benchmarks.tournament import scene, start_backend

SIZE = 1 << 30
CHUNK = 1 << 18
PAUSE_EVERY = 1 << 24
PAUSE_S = 0.04
WAIT_S = 60.0
MIB = 1 << 20
HEAD_END = b"\r\n\r\n"

UPLOAD = b"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % SIZE
DOWNLOAD = b"GET /download HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
RECEIVED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
SENDING = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One transfer: which way, and which side is the slow one. A slow side begins with a pause of a second."""

    upload: bool
    slow: str

    @property
    def label(self) -> str:
        return f"{'upload' if self.upload else 'download'}, slow {self.slow}"


CASES = tuple(Case(upload=upload, slow=slow) for upload in (False, True) for slow in ("reader", "writer"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfers:
    """1 GiB up and 1 GiB down; the peak of memory over what it was before."""

    name: str = "transfers"
    title: str = "bodies of 1 GiB, with a slow reader and a slow writer"

    def run(self, bench: Bench) -> Report:
        cores = bench.plan.cores
        rows, worst = [], 0.0
        with scene() as (stack, folder), socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(WAIT_S)
            start_port = start_backend(stack, cores, PLAIN, folder)
            gateway = start_gateway(stack, PLAIN, cores, start_port, folder)
            upstream_port = listener.getsockname()[1]
            gateway.reload(gateway.file.read_text("utf-8").replace(f":{start_port}", f":{upstream_port}"))
            for case in CASES:
                grown, took_s = transfer(case, gateway, listener)
                worst = max(worst, grown)
                bench.say(f"  {case.label:<24}{grown / MIB:6.1f} MiB in {took_s:.1f} s")
                rows.append((case.label, f"{grown / MIB:.1f}", f"{SIZE / MIB / took_s:,.0f}"))
        text = table(("body of 1 GiB", "memory grew by MiB", "MiB/s"), rows)
        finding = below("memory growth during 1 GiB up and down, slow reader and slow writer", worst / MIB, 16, "MiB")
        return Report(name=self.name, title=self.title, text=text, findings=(finding,))


def transfer(case: Case, gateway: Gateway, listener: socket.socket) -> tuple[int, float]:
    """Carry one body through the gateway; return how much its memory grew at most, and the seconds it took."""
    before = memory_bytes(gateway.pid)
    Path(f"/proc/{gateway.pid}/clear_refs").write_text("5", "ascii")  # the peak starts anew (proc_pid_clear_refs(5))
    began_s = time.perf_counter()
    backend = Side(lambda: _backend(case, listener))
    backend.start()
    _client(case, gateway.port)
    backend.finish()
    return peak_bytes(gateway.pid) - before, time.perf_counter() - began_s


def peak_bytes(pid: int) -> int:
    """The most that a process has held in RAM since its peak was cleared."""
    status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


class Side(threading.Thread):
    """One end of a transfer in a thread; `finish` raises what went wrong there."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self._error = error

    def finish(self) -> None:
        self.join(WAIT_S)
        if self._error is not None or self.is_alive():
            raise BenchmarkError(f"backend: expected the transfer to end; got {self._error!r}")


def _client(case: Case, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as client:
        client.sendall(UPLOAD if case.upload else DOWNLOAD)
        if case.upload:
            _write(client, slow=case.slow == "writer")
        head, rest = _head(client)
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise BenchmarkError(f"{case.label}: expected 200; got {head!r}")
        if not case.upload:
            _read(client, len(rest), slow=case.slow == "reader")


def _backend(case: Case, listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(WAIT_S)
        _, rest = _head(connection)
        if case.upload:
            _read(connection, len(rest), slow=case.slow == "reader")
            connection.sendall(RECEIVED)
        else:
            connection.sendall(SENDING)
            _write(connection, slow=case.slow == "writer")


def _head(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while HEAD_END not in data:
        if not (chunk := sock.recv(CHUNK)):
            raise BenchmarkError(f"transfer: expected a head; got the end after {data!r}")
        data += chunk
    head, _, rest = data.partition(HEAD_END)
    return head, rest


def _write(sock: socket.socket, *, slow: bool) -> None:
    chunk = bytes(CHUNK)
    for sent in range(0, SIZE, CHUNK):
        _pause(sent, slow)
        sock.sendall(chunk)


def _read(sock: socket.socket, received: int, *, slow: bool) -> None:
    buffer, due = bytearray(CHUNK), 0
    while received < SIZE:
        if received >= due:
            _pause(due, slow)
            due += PAUSE_EVERY
        if not (more := sock.recv_into(buffer)):
            raise BenchmarkError(f"transfer: expected {SIZE} bytes; got {received}")
        received += more


def _pause(at: int, slow: bool) -> None:
    if slow and at % PAUSE_EVERY == 0:
        time.sleep(PAUSE_S if at else 1.0)
