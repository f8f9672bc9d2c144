"""What a gateway costs while nothing happens: its start, its memory, and that of idle clients."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.contenders.contender import Contender
from benchmarks.experiments.experiment import Bench
from benchmarks.probe import answers
from benchmarks.report.finding import Report, below
from benchmarks.report.table import table
from benchmarks.scenario import PLAIN
from benchmarks.servers import BenchmarkError, family, memory_bytes, raise_file_limit
from benchmarks.tournament import Entry, Standing, scene, start, start_backend

IDLE_CLIENTS = 5_000
SPARE_FILES = 500
SETTLE_S = 1.0
REQUEST = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
MIB = 1 << 20
KIB = 1 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Start to first answer, memory then, and memory for each client that stays connected after one request."""

    name: str = "footprint"
    title: str = "start, idle memory, and idle client connections"

    def run(self, bench: Bench) -> Report:
        clients = min(IDLE_CLIENTS, raise_file_limit() - SPARE_FILES)
        rows, findings = [], {}
        with scene() as (stack, folder):
            upstream_port = start_backend(stack, bench.plan.cores, PLAIN, folder)
            for contender in bench.contenders:
                began_s, idle = self._starts(contender, bench, upstream_port, folder)
                grown = self._idle_clients(contender, bench, upstream_port, folder, clients) / clients
                bench.say(
                    f"  {contender.name:<12}{began_s:.2f} s, {idle / MIB:.0f} MiB, {grown / KIB:.1f} KiB a client"
                )
                rows.append((contender.name, f"{began_s:.2f}", f"{idle / MIB:.1f}", f"{grown / KIB:.1f}"))
                findings[contender.name] = (
                    below("idle memory of one worker", idle / MIB, 60, "MiB"),
                    below("start to first answer", began_s, 1, "s"),
                    below("memory of an idle client connection", grown / KIB, 12, "KiB"),
                )
        headings = ("contender", "start s", "idle MiB", "KiB an idle client")
        note = f"Memory is what is held in RAM. {clients:,} idle clients, each after one request."
        text = f"{note}\n\n{table(headings, rows)}"
        return Report(name=self.name, title=self.title, text=text, findings=findings.get("meshwright", ()))

    def _starts(self, contender: Contender, bench: Bench, upstream_port: int, folder: Path) -> tuple[float, float]:
        seen = []
        for _ in range(bench.plan.rounds):
            began_s = time.perf_counter()
            with up(contender, bench, upstream_port, folder) as standing:
                took_s = time.perf_counter() - began_s
                time.sleep(SETTLE_S)
                seen.append((took_s, memory(standing)))
        return median(took_s for took_s, _ in seen), median(idle for _, idle in seen)

    def _idle_clients(
        self, contender: Contender, bench: Bench, upstream_port: int, folder: Path, clients: int
    ) -> float:
        with up(contender, bench, upstream_port, folder) as standing, ExitStack() as sockets:
            port = standing.place.port
            for _ in range(100):
                answers(port, PLAIN)
            before = memory(standing)
            for _ in range(clients):
                sockets.enter_context(_client_after_one_request(port))
            time.sleep(SETTLE_S)
            return memory(standing) - before


@contextmanager
def up(contender: Contender, bench: Bench, upstream_port: int, folder: Path) -> Iterator[Standing]:
    """A contender for as long as the block runs."""
    with ExitStack() as stack:
        entry = Entry(label=contender.name, contender=contender, scenario=PLAIN)
        yield start(stack, entry, bench.plan.cores, upstream_port, folder)


def memory(standing: Standing) -> int:
    return sum(memory_bytes(pid) for pid in family(standing.process))


@contextmanager
def _client_after_one_request(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(REQUEST)
        data = b""
        while not data.endswith(PLAIN.answer):
            if not (chunk := client.recv(1 << 16)):
                raise BenchmarkError("idle clients: expected an answer; got the end of the connection")
            data += chunk
        yield client
