"""What a contender is. Each contender's configuration has a file of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a contender stands: in front of the backend, on a port of its own, with a folder to write in.

    `certificate` is a PEM file with key and certificate; it is there when the scenario wants TLS.
    """

    scenario: Scenario
    port: int
    upstream_port: int
    folder: Path
    certificate: Path


class Contender(Protocol):
    """A proxy that can be put in front of the backend."""

    @property
    def name(self) -> str: ...

    def command(self, place: Place) -> list[str]:
        """Write the configuration and give the command that serves it with the power of one core.

        The first word becomes the process that is stopped; CPU time is that of it and its children.
        Raises BenchmarkError when the program is not there.
        """
        ...

    def version(self) -> str:
        """Say which version would run, for the report."""
        ...
