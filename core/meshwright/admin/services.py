"""`add_up_services`: what every worker says of its services, as one picture; asking the workers goes elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Status = Mapping[str, Any]

UNCHECKED = "unchecked"
"""The health of an endpoint that nobody probes."""

_NUMBERS = ("in_flight", "requests", "pool")
_OWN = (*_NUMBERS, "effective_weight", "health", "ejections")
"""What each worker has its own value of."""


def add_up_services(workers: Iterable[Status]) -> list[dict[str, Any]]:
    """Return the services with their endpoints, each with its numbers added up and by worker.

    Workers may know different endpoints for a moment, while discovery tells them of a change.
    """
    services: dict[str, dict[str, Any]] = {}
    for worker in workers:
        for service in worker.get("services", ()):
            total = services.setdefault(service["name"], {**service, "endpoints": {}})
            if service.get("panicking"):
                total["panicking"] = True
            for endpoint in service.get("endpoints", ()):
                _add_endpoint(total["endpoints"], endpoint, worker["worker"])
    return [{**service, "endpoints": list(service["endpoints"].values())} for _, service in sorted(services.items())]


def _add_endpoint(totals: dict[str, dict[str, Any]], endpoint: Status, worker: str) -> None:
    own = {key: endpoint[key] for key in _OWN if key in endpoint}
    total = totals.get(endpoint["url"])
    if total is None:
        total = totals[endpoint["url"]] = {"health": UNCHECKED, **endpoint, "workers": []}
    else:
        total.update({key: _sum(total.get(key, 0), own[key]) for key in _NUMBERS if key in own})
    total["workers"].append({"worker": worker, **own})
    total["health"] = _health([each.get("health", UNCHECKED) for each in total["workers"]])
    if len(total["workers"]) > 1 and "ejections" in own:
        total["ejections"] = {**total.get("ejections", {}), **own["ejections"]}


def _health(of_workers: Sequence[str]) -> str:
    """Return what they agree on; each worker judges for itself, by what it has seen."""
    if "ejected" in of_workers:
        return "ejected" if set(of_workers) == {"ejected"} else "partly ejected"
    return next((each for each in of_workers if each != UNCHECKED), UNCHECKED)


def _sum(first: Any, second: Any) -> Any:
    """Add two numbers, or two mappings of numbers."""
    if isinstance(second, Mapping):
        before = first if isinstance(first, Mapping) else {}
        return {key: _sum(before.get(key, 0), value) for key, value in second.items()}
    return first + second
