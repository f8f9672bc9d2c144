"""`EndpointGroup`: the endpoints of one service, and which of them may be picked; who decides that is a policy's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf, prod

from meshwright_sdk.balancing import Endpoint

logger = logging.getLogger("meshwright.service")

WEIGHT_STEPS = 100
"""How finely a factor divides one unit of weight."""


class EndpointGroup:
    """Every endpoint of a service in `all`, and those that balancers choose from in `usable`.

    An endpoint is usable while nobody ejects it. When fewer than `panic_threshold` of all would be left (a share, 0 to
    1), it is rather the judges that err: then all are usable. `usable` is the same object until it or a weight changes.
    """

    __slots__ = (
        "_holds",
        "_members",
        "_retired",
        "_scaled",
        "_stale",
        "_watchers",
        "all",
        "panic_threshold",
        "panicking",
        "usable",
    )

    def __init__(self, endpoints: Sequence[Endpoint] = (), *, panic_threshold: float = 0.5) -> None:
        self.panic_threshold = panic_threshold
        self.all: tuple[Endpoint, ...] = ()
        self.usable: tuple[Endpoint, ...] = ()
        self.panicking = False
        self._watchers: list[Callable[[Endpoint], None]] = []
        self._retired = False
        self._scaled = False
        self._holds = 0
        self._stale = False
        self.replace(endpoints)

    def replace(self, endpoints: Sequence[Endpoint]) -> None:
        """Take another list over; for the service itself, when discovery reports one."""
        self.all = tuple(endpoints)
        self._members = frozenset(self.all)
        self._scaled = any(endpoint.factors for endpoint in self.all)
        self._weigh(self.all)
        self._select()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Make one change of all that is done in the block, which must not wait: `usable` is right after it."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if self._stale and not self._holds:
                self._select()

    def retire(self) -> None:
        """Take back everything, and heed nobody from now on; for the service itself, when other policies judge."""
        for endpoint in self.all:
            endpoint.ejections, endpoint.factors, endpoint.approvals = {}, {}, frozenset()
        self._retired = True
        self._watchers.clear()

    def eject(self, endpoint: Endpoint, by: str, reason: str) -> None:
        """Take an endpoint out until whoever is called `by` restores it; `reason` is shown to people."""
        if self._retired:
            return
        was = endpoint.ejections
        endpoint.ejections = {**was, by: reason}
        endpoint.approvals -= {by}
        if by not in was:
            self._select()
        if not was:
            self._tell(endpoint)

    def restore(self, endpoint: Endpoint, by: str) -> None:
        """Take back what `by` had against an endpoint; others may still have theirs."""
        if by in endpoint.ejections and not self._retired:
            endpoint.ejections = {name: reason for name, reason in endpoint.ejections.items() if name != by}
            self._select()
            if not endpoint.ejections:
                self._tell(endpoint)

    def approve(self, endpoint: Endpoint, by: str) -> None:
        """Take note that `by` has looked at an endpoint and found it well; that restores it too."""
        if not self._retired:
            endpoint.approvals |= {by}
            self.restore(endpoint, by)

    def watch(self, callback: Callable[[Endpoint], None]) -> None:
        """Have `callback` called with each endpoint that was in and is out now, or was out and is in again.

        What it raises is logged and goes no further.
        """
        self._watchers.append(callback)

    def _tell(self, endpoint: Endpoint) -> None:
        if endpoint not in self._members:
            return  # a late judgement of one that has gone
        for callback in self._watchers:
            try:
                callback(endpoint)
            except Exception:
                logger.exception("%s raised", getattr(callback, "__qualname__", callback))

    def scale(self, endpoint: Endpoint, by: str, factor: float) -> None:
        """Have the endpoint weigh `factor` times what it did without `by`, 0 or more; 1 takes it back.

        Factors of several are multiplied. However small, an endpoint keeps the least weight there is.
        """
        self.scale_all(by, {endpoint: factor})

    def scale_all(self, by: str, factors: Mapping[Endpoint, float]) -> None:
        """Scale several endpoints at once: balancers, which compute anew for each change, see one."""
        changed: list[Endpoint] = []
        for endpoint, factor in factors.items():
            if not 0 <= factor < inf:  # nor what is no number: no weight could be made of it
                raise ValueError(f"factor: expected 0 or more; got {factor}")
            if endpoint.factors.get(by, 1.0) != factor and not self._retired:
                own = {} if factor == 1.0 else {by: factor}
                endpoint.factors = {name: each for name, each in endpoint.factors.items() if name != by} | own
                if endpoint in self._members:
                    changed.append(endpoint)
        if changed:
            self._weigh_again(changed)
            self._select()

    def _select(self) -> None:
        """Compute `usable`: a look at each endpoint, 20 µs for a thousand."""
        self._stale = self._holds > 0
        if self._stale:
            return
        fit = [endpoint for endpoint in self.all if not endpoint.ejections]
        out = len(self.all) - len(fit)
        self.panicking = out > 0 and (not fit or len(fit) < self.panic_threshold * len(self.all))
        self.usable = tuple([*self.all] if self.panicking else fit)  # another object, whatever is in it

    def _weigh_again(self, changed: Sequence[Endpoint]) -> None:
        """Weigh those whose factors have changed, and all where factors have come up or are gone."""
        any_now = any(endpoint.factors for endpoint in changed)
        scaled = any_now or (self._scaled and any(endpoint.factors for endpoint in self.all))
        all_of_them = scaled is not self._scaled
        self._scaled = scaled
        self._weigh(self.all if all_of_them else changed)

    def _weigh(self, endpoints: Iterable[Endpoint]) -> None:
        for endpoint in endpoints:
            endpoint.unit = WEIGHT_STEPS if self._scaled else 1
            base = endpoint.instance.weight
            weight = round(base * WEIGHT_STEPS * prod(endpoint.factors.values())) if self._scaled else base
            endpoint.weight = max(weight, min(base, 1))
