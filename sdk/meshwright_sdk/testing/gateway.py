"""`gateway`: a whole gateway in the test's own process; it is the installed runtime's, found by its entry point."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol


class RunningGateway(Protocol):
    """A running gateway."""

    @property
    def url(self) -> str:
        """The base URL of the first listener."""

    @property
    def urls(self) -> dict[str, str]:
        """The base URL of each listener, by name."""

    async def apply(self, config: str) -> None:
        """Take another configuration into use; raises ConfigError and then changes nothing."""


def gateway(config: str, *, base_dir: Path | None = None) -> AbstractAsyncContextManager[RunningGateway]:
    """Return a gateway on real sockets for `async with`, made from a YAML text.

    Give its listeners port 0: `listeners: [{name: web, bind: "127.0.0.1:0"}]`. Relative paths start at
    `base_dir`, by default the working directory. Raises LookupError when no gateway is installed.
    """
    found = list(entry_points(group="meshwright.runtime", name="gateway"))
    if not found:
        raise LookupError("gateway: expected an installed runtime (pip install meshwright); got none")
    made: AbstractAsyncContextManager[RunningGateway] = found[0].load()(config, base_dir=base_dir)
    return made
