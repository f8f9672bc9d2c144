"""Gateways with a configuration of their own, and upstreams that are told how to behave."""

from __future__ import annotations

import json
import re
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks.servers import (
    ROOT,
    BenchmarkError,
    Process,
    free_port,
    program,
    running,
    stop,
    wait_until_ready,
)
from benchmarks.tournament import Cores

WAIT_S = 5.0


@dataclass(slots=True, kw_only=True)
class Upstream:
    """A running upstream; see `benchmarks.load.upstream`."""

    port: int
    process: Process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def behave(self, **how: int) -> None:
        """Have it take `delay_ms`, or answer with `status`, from now on."""
        ask(self.port, "/-/behave?" + "&".join(f"{name}={value}" for name, value in how.items()))

    def seen(self) -> int:
        """Return how many requests it has had."""
        return int(json.loads(ask(self.port, "/-/seen"))["seen"])

    def times(self) -> list[float]:
        """Return when each of them came, in seconds of its clock."""
        times: list[float] = json.loads(ask(self.port, "/-/times"))["seen"]
        return times

    def die(self) -> None:
        """End it, so that its port refuses."""
        stop(self.process)


@dataclass(slots=True, kw_only=True)
class Stand:
    """Where an experiment's servers stand; all end with the stack."""

    stack: ExitStack
    folder: Path
    cores: Cores
    _number: int = field(default=0, init=False)
    _admin: dict[int, int] = field(default_factory=dict, init=False)

    def upstream(self) -> Upstream:
        """Start an upstream beside the load."""
        port, name = free_port(), self._name("upstream")
        command = [sys.executable, "-m", "benchmarks.load.upstream", "--port", str(port)]
        process = self._run(name, ["env", f"PYTHONPATH={ROOT}", *command], self.cores.load)
        wait_until_ready(name, process, partial(answers, port, "/-/seen"), self.folder)
        return Upstream(port=port, process=process)

    def gateway(self, routes_and_services: str, **files: str) -> int:
        """Start a gateway on the core of the contenders, and return its port; `files` are plugins beside the YAML."""
        port, name = free_port(), self._name("gateway")
        for module, text in files.items():
            (self.folder / f"{module}.py").write_text(text, "utf-8")
        admin = self._admin[port] = free_port()
        listeners = f'listeners: [{{name: web, bind: "127.0.0.1:{port}"}}]\nadmin: {{bind: "127.0.0.1:{admin}"}}\n'
        file = self.folder / f"{name}.yaml"
        file.write_text(listeners + routes_and_services, "utf-8")
        process = self._run(name, [program("meshwright"), "run", str(file)], self.cores.proxy)
        wait_until_ready(name, process, partial(answers, port, "/-/ready"), self.folder)
        return port

    def metric(self, port: int, name: str) -> float:
        """Return a metric of a gateway, named with its labels; 0 when there is none."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", ask(self._admin[port], "/metrics"), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def redis(self, port: int) -> Process:
        """Start a Redis that keeps nothing, beside the load."""
        name = self._name("redis")
        options = ("--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1")
        process = self._run(name, [program("redis-server"), *options], self.cores.load)
        wait_until_ready(name, process, partial(is_open, port), self.folder)
        return process

    def _run(self, name: str, command: list[str], cores: str) -> Process:
        return self.stack.enter_context(running(name, command, cores=cores, folder=self.folder))

    def _name(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number}"


def ask(port: int, path: str) -> str:
    """Return the body of the answer; raises BenchmarkError when there is none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except (OSError, HTTPException) as error:
        raise BenchmarkError(f"port {port}: GET {path}: expected an answer; got {error!r}") from error
    finally:
        connection.close()


def answers(port: int, path: str) -> bool:
    """Tell whether there is any answer."""
    try:
        ask(port, path)
    except BenchmarkError:
        return False
    return True


def is_open(port: int) -> bool:
    """Tell whether a connection is taken."""
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True
