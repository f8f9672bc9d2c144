"""`LiveEndpoint`: an endpoint of a running service, with its connections; choosing one goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshwright.traffic.carrier import Carrier
from meshwright.traffic.pool import Pool
from meshwright.traffic.prober import Prober
from meshwright_sdk.balancing import Endpoint, Instance


class LiveEndpoint(Carrier, Endpoint):
    """An endpoint with the pool of connections to it; `host` is the Host that its URL stands for."""

    __slots__ = (
        "host",
        "pool",
        "prober",
    )

    def __init__(self, instance: Instance, make_pool: Callable[[Endpoint], Pool]) -> None:
        super().__init__(instance)
        self.pool = make_pool(self)
        self.prober: Prober | None = None
        self.host = self.origin.authority.encode("ascii")

    @property
    def in_use(self) -> bool:
        """Whether there are connections or requests."""
        return bool(self.pool.open or self.in_flight or (self.prober is not None and self.prober.open))

    def status(self) -> dict[str, Any]:
        """Return what the admin API shows of it."""
        instance = self.instance
        return {
            "url": instance.url,
            "weight": instance.weight,
            "effective_weight": self.weight,
            "health": self.health,
            "ejections": dict(self.ejections),
            "zone": instance.zone,
            "labels": dict(instance.labels),
            "in_flight": self.in_flight,
            "requests": self.requests,
            "pool": self.pool.status(),
        }
