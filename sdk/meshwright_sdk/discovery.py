"""`Discovery`: where the instances of a service are learnt and announced; the systems are plugins."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any

from meshwright_sdk.balancing import Instance
from meshwright_sdk.plugin import O_co, Plugin


class Discovery(Plugin[O_co]):
    """Reports the instances of one service, now and whenever they change."""

    @abstractmethod
    def watch(self) -> AsyncIterator[Sequence[Instance]]:
        """Yield the whole list at once, then again after each change; ends when it can never change again.

        A passing failure is the plugin's to retry and log: it yields nothing, so that the last good list
        stays. What it raises is logged and the watch is begun anew after a pause. Cancelled at close.
        """

    async def register(self, instance: Instance) -> None:
        """Announce `instance` under this service; raises NotImplementedError where the system cannot."""
        raise NotImplementedError(f"{self.name}: registration is not possible")

    async def deregister(self, instance: Instance) -> None:
        """Withdraw `instance`; raises NotImplementedError where the system cannot."""
        raise NotImplementedError(f"{self.name}: registration is not possible")


AnyDiscovery = Discovery[Any]
