"""The counts that the gateway itself keeps of each route; metrics of plugins and their exposition go elsewhere."""

from __future__ import annotations

import asyncio
from time import perf_counter
from weakref import WeakValueDictionary

from meshwright_sdk.filters import CallNext
from meshwright_sdk.metrics import Metrics
from meshwright_sdk.routing import Match, Route

STATUS_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


class RouteCounts:
    """The counters of one route, reached by attribute; its metrics end with it."""

    __slots__ = ("__weakref__", "_metrics", "_name", "classes", "in_flight", "seconds")

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._metrics = metrics
        self._name = name
        self.classes = tuple(
            metrics.counter("meshwright_requests_total", "Requests answered.", route=name, status_class=status)
            for status in STATUS_CLASSES
        )
        self.in_flight = metrics.gauge(
            "meshwright_requests_in_flight", "Requests whose response has not ended.", route=name
        )
        self.seconds = metrics.histogram(
            "meshwright_request_seconds", "Time from a request's head to the end of its response.", route=name
        )

    def __del__(self) -> None:
        for status in STATUS_CLASSES:
            self._metrics.remove("meshwright_requests_total", route=self._name, status_class=status)
        self._metrics.remove("meshwright_requests_in_flight", route=self._name)
        self._metrics.remove("meshwright_request_seconds", route=self._name)


class CountsOfRoutes:
    """The counters of all routes: snapshots with a route of the same name share them, and the last takes them along.

    No version has to be asked which others there are: one that is being built or that some request still uses holds
    what it counts on.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: WeakValueDictionary[str, RouteCounts] = WeakValueDictionary()

    def of(self, name: str) -> RouteCounts:
        """Return the counters of the route of that name."""
        counts = self._known.get(name)
        if counts is None:
            counts = self._known[name] = RouteCounts(self._metrics, name)
        return counts


class LiveRoute(Route):
    """A route of a snapshot, with its counts."""

    __slots__ = ("counts",)

    def __init__(self, name: str, match: Match, handle: CallNext, index: int, counts: RouteCounts) -> None:
        super().__init__(name, match, handle, index)
        self.counts = counts


class Users:
    """How many requests still use a snapshot, so that it can be closed after the last one."""

    __slots__ = ("_empty", "count")

    def __init__(self) -> None:
        self.count = 0
        self._empty: asyncio.Future[None] | None = None

    def leave(self) -> None:
        """Take note that one request has ended."""
        self.count -= 1
        if self.count == 0 and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    async def gone(self) -> None:
        """Return when nobody is left; to be called when nobody new can come."""
        while self.count:
            self._empty = asyncio.get_running_loop().create_future()
            await self._empty


class Visit:
    """One request's stay on a route: called once at the end of its response's life."""

    __slots__ = ("_began", "_counts", "_users", "status")

    def __init__(self, counts: RouteCounts, users: Users) -> None:
        self._counts = counts
        self._users = users
        self._began = perf_counter()
        self.status = 500
        counts.in_flight.value += 1
        users.count += 1

    def __call__(self, error: BaseException | None) -> None:
        counts = self._counts
        counts.in_flight.value -= 1
        counts.classes[self.status // 100 - 1 if self.status < 600 else 4].value += 1
        counts.seconds.observe(perf_counter() - self._began)
        self._users.leave()
