"""`dns`: a service's instances as a DNS server names them; what other systems know goes into their own plugins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from meshwright_plugins.discovery.dns.options import DnsOptions
from meshwright_sdk import Context, Discovery, Instance, SideWork

if TYPE_CHECKING:
    from meshwright_plugins.discovery.dns.lookup import Answer, Lookup

logger = logging.getLogger("meshwright.discovery.dns")


class Dns(Discovery[DnsOptions]):
    """Resolve a name, and again whenever its time to live is over.

    The last good answer stays when the server does not answer, knows no such name, or names no instance. From
    SRV records come ports and weights, of the lowest priority only.

    Example:
        discovery: {dns: {host: orders.internal, port: 8000, max_ttl: 30s}}
    """

    def __init__(self, options: DnsOptions, context: Context) -> None:
        super().__init__(options, context)
        self._lookup = _lookup(options, context.side_work)
        self._failing = False

    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        reported: Sequence[Instance] | None = None
        while True:
            answer = await self._ask()
            _end_if_cancelled()
            if answer is not None and answer.instances != reported:
                reported = answer.instances
                yield reported
            ttl_s = answer.ttl_s if answer is not None else 0.0
            await self.context.clock.sleep(min(max(ttl_s, self.options.min_ttl), self.options.max_ttl))

    async def _ask(self) -> Answer | None:
        """Return the answer, or None after a failure; says so in the log when that is news."""
        from meshwright_plugins.discovery.dns.lookup import LookupFailed

        try:
            answer = await self._lookup.ask()
        except LookupFailed as failure:
            if not self._failing:
                logger.warning("%s: DNS failed, the last good answer stays: %s", self._who, failure)
            self._failing = True
            return None
        if self._failing:
            logger.info("%s: DNS answers again", self._who)
        self._failing = False
        return answer

    @property
    def _who(self) -> str:
        return f"service {self.context.service}, {self.options.host}"


def _end_if_cancelled() -> None:
    """Raise the cancellation that `asyncio.wait_for`, which dnspython uses, loses when an answer comes with it.

    Python 3.11 does (cpython issue 86296); a watch that has lost it would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _lookup(options: DnsOptions, side_work: SideWork) -> Lookup:
    try:
        from meshwright_plugins.discovery.dns.lookup import Lookup
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "dns":
            raise
        raise ValueError("expected the package dnspython (pip install 'meshwright[dns]'); got none") from error
    return Lookup(options, side_work)
