"""Times filters in this process, each in a chain of its own, and prints the microseconds that each one adds as JSON."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import uvloop

from meshwright.plugin_host.registry import Registry
from meshwright.traffic.chain import compose
from meshwright_sdk import CallNext, Context, Filter, FilterCall, Metrics, Request, Response, Tasks
from meshwright_sdk.testing import make_request

REQUESTS = 300
ROUNDS = 150

FILTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "request_id": ("request_id", {}),
    "headers": ("headers", {"request": {"set": {"x-tenant": "acme"}}, "response": {"set": {"x-stamp": "1"}}}),
    "rate_limit (local)": ("rate_limit", {"rate": "10000000/s", "burst": 10_000_000}),
    "rate_limit (local, no headers)": ("rate_limit", {"rate": "10000000/s", "burst": 10_000_000, "headers": False}),
    "rate_limit (local, window)": ("rate_limit", {"limit": 100_000_000, "window": "1m", "headers": False}),
    "rate_limit (leased, memory)": (
        "rate_limit",
        {"rate": "10000000/s", "burst": 10_000_000, "mode": "leased", "slice": 1000, "headers": False},
    ),
    "rate_limit (exact, memory)": (
        "rate_limit",
        {"rate": "10000000/s", "burst": 10_000_000, "mode": "exact", "headers": False},
    ),
    "quota (memory)": ("quota", {"limit": 1_000_000_000, "headers": False}),
    "priority": ("priority", {"key": "header:x-priority", "levels": {"high": "high"}}),
    "overload": ("overload", {}),
    "concurrency (fixed)": ("concurrency", {"limit": 1000}),
    "concurrency (adaptive)": ("concurrency", {"adaptive": {}}),
    "timeout": ("timeout", {"after": "5s"}),
    "timeout (no header)": ("timeout", {"after": "5s", "header": None}),
    "retry": ("retry", {}),
    "hedge": ("hedge", {"after": "1s"}),
    "circuit_breaker": ("circuit_breaker", {}),
    "fallback": ("fallback", {"respond": {"text": "instead"}}),
    "cache (miss, not stored)": ("cache", {}),
    "mirror (0.1%)": ("mirror", {"to": "next", "share": "0.1%"}),
    "fault (off)": ("fault", {"abort": {"status": 503, "share": "0%"}}),
}


async def own_filter(request: Request, call_next: CallNext) -> Response:
    """Set a header each way, as a filter of one's own does."""
    request.headers["x-tenant"] = "acme"
    response = await call_next(request)
    response.headers["x-stamp"] = "1"
    return response


async def end(request: Request) -> Response:
    """Answer as a service does, and have the answer closed as a client does."""
    return Response(200)


async def time_us(call: CallNext) -> float:
    """Return the microseconds of one request: the request is made anew each time, as filters change it."""
    requests = [make_request() for _ in range(REQUESTS)]
    began = time.perf_counter()
    for request in requests:
        (await call(request)).settle()
    return (time.perf_counter() - began) / REQUESTS * 1e6


async def cost_us(made: FilterCall) -> float:
    """Return the least of many differences between a chain with the filter and an empty one."""
    chain, empty = compose([made], end), compose([], end)
    taken = [(await time_us(chain), await time_us(empty)) for _ in range(ROUNDS)]
    return min(with_it for with_it, _ in taken) - min(without for _, without in taken)


async def costs() -> dict[str, float]:
    """Return what each filter costs; one that does not exist or refuses its options is told by its error."""
    registry, metrics, tasks = Registry.built_in(), Metrics(), Tasks()
    store = registry.build("store", "memory", None, Context())
    found = {"a filter of one's own": await cost_us(own_filter)}
    known = {info.name for info in registry.all() if info.kind == "filter"}
    for label, (name, options) in FILTERS.items():
        if name not in known:
            continue
        context = Context(place=name, route=label, metrics=metrics, tasks=tasks, store=store)
        model = registry.options_of("filter", name)
        made = registry.build("filter", name, model.model_validate(options) if model else None, context)
        await _start(made)
        found[label] = await cost_us(made)
        await _close(made)
    await tasks.close()
    return found


async def _start(made: object) -> None:
    if isinstance(made, Filter):
        await made.start()


async def _close(made: object) -> None:
    if isinstance(made, Filter):
        await made.close()


def main(run: Callable[[], Any] = costs) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run())))


if __name__ == "__main__":
    main()
