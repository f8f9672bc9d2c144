"""One Meshwright that is changed and questioned while it runs, as its operator would; comparing goes elsewhere."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from benchmarks.contenders.meshwright import Meshwright
from benchmarks.scenario import Scenario
from benchmarks.servers import BenchmarkError, free_port
from benchmarks.tournament import Cores, Entry, Standing, start

ADMIN_WAIT_S = 60.0
SAMPLE = re.compile(r"^(?P<name>[a-z_]+)(\{.*\})? (?P<value>\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running gateway, its file and its admin API."""

    standing: Standing
    admin_port: int

    @property
    def port(self) -> int:
        return self.standing.place.port

    @property
    def pid(self) -> int:
        return self.standing.process.pid

    @property
    def file(self) -> Path:
        return self.standing.place.folder / f"gateway-{self.port}.yaml"

    def reload(self, text: str) -> None:
        """Write the file anew and have it read; raises BenchmarkError unless it is applied."""
        self.file.write_text(text, "utf-8")
        answer = json.loads(self.ask("POST", "/api/reload"))
        if answer.get("result") != "applied":
            raise BenchmarkError(f"reload: expected it to be applied; got {answer}")

    def services(self) -> list[dict[str, Any]]:
        services: list[dict[str, Any]] = json.loads(self.ask("GET", "/api/services"))["services"]
        return services

    def metrics(self) -> dict[str, float]:
        """The metrics by name, added up over their labels."""
        sums: dict[str, float] = {}
        for found in SAMPLE.finditer(self.ask("GET", "/metrics")):
            sums[found["name"]] = sums.get(found["name"], 0.0) + float(found["value"])
        return sums

    def ask(self, method: str, path: str) -> str:
        """Ask the admin API, and return the body of its answer."""
        connection = HTTPConnection("127.0.0.1", self.admin_port, timeout=ADMIN_WAIT_S)
        try:
            connection.request(method, path)
            return connection.getresponse().read().decode()
        except (OSError, HTTPException) as error:
            raise BenchmarkError(f"admin API: {method} {path}: expected an answer; got {error!r}") from error
        finally:
            connection.close()


def start_gateway(stack: ExitStack, scenario: Scenario, cores: Cores, upstream_port: int, folder: Path) -> Gateway:
    """Start it, and wait until it answers as the scenario wants."""
    admin_port = free_port()
    entry = Entry(label="meshwright", contender=Meshwright(admin_port=admin_port), scenario=scenario)
    return Gateway(standing=start(stack, entry, cores, upstream_port, folder), admin_port=admin_port)
