"""`add_up_services`: what every worker says of its services, as one picture; asking the workers goes elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Status = Mapping[str, Any]

UNCHECKED = "unchecked"
"""The health of an endpoint that nobody probes."""


def add_up_services(workers: Iterable[Status]) -> list[dict[str, Any]]:
    """Return the services with their endpoints, each with its numbers added up and by worker.

    Workers may know different endpoints for a moment, while discovery tells them of a change.
    """
    services: dict[str, dict[str, Any]] = {}
    for worker in workers:
        for service in worker.get("services", ()):
            total = services.setdefault(service["name"], {**service, "endpoints": {}})
            for endpoint in service.get("endpoints", ()):
                _add_endpoint(total["endpoints"], endpoint, worker["worker"])
    return [{**service, "endpoints": list(service["endpoints"].values())} for _, service in sorted(services.items())]


def _add_endpoint(totals: dict[str, dict[str, Any]], endpoint: Status, worker: str) -> None:
    numbers = {key: value for key, value in endpoint.items() if key in ("in_flight", "requests", "pool")}
    total = totals.get(endpoint["url"])
    if total is None:
        total = totals[endpoint["url"]] = {"health": UNCHECKED, **endpoint, "workers": []}
    else:
        total.update({key: _sum(total.get(key, 0), value) for key, value in numbers.items()})
    total["workers"].append({"worker": worker, **numbers})


def _sum(first: Any, second: Any) -> Any:
    """Add two numbers, or two mappings of numbers."""
    if isinstance(second, Mapping):
        before = first if isinstance(first, Mapping) else {}
        return {key: _sum(before.get(key, 0), value) for key, value in second.items()}
    return first + second
