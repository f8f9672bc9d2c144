"""`check_discovery`: that a discovery reports lists of instances, and lets itself be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from meshwright_sdk.balancing import Instance
from meshwright_sdk.discovery import AnyDiscovery
from meshwright_sdk.testing.checks.claims import (
    PATIENCE_S,
    calling,
    claim,
    ends_when_cancelled,
    iterator_of,
    next_of,
    running,
)

_NEWCOMER = Instance(url="http://192.0.2.77:7777", weight=3, zone="check", labels={"check": "1"})


async def check_discovery(discovery: AnyDiscovery) -> None:
    """Run `discovery` through its contract; raises AssertionError that says what to mend.

    It is started and closed. The system behind it has to be there and know the service, with or without
    instances. Where registration is possible, one instance is announced and withdrawn again.
    """
    async with running(discovery):
        first = await _first_list(discovery)
        again = await _first_list(discovery)
        claim(
            "watch, begun anew",
            set(first) == set(again),
            "the whole list at once again, as the gateway begins anew after a failure",
            repr(again),
        )
        await ends_when_cancelled("watch", iterator_of("watch()", discovery.watch()))
        await _check_registration(discovery)


async def _first_list(discovery: AnyDiscovery) -> Sequence[Instance]:
    lists = iterator_of("watch()", discovery.watch())
    instances = await next_of("watch", lists, "the whole list at once")
    _check_list(instances)
    await _close(lists)
    return list(instances)


def _check_list(instances: Any) -> None:
    claim(
        "watch",
        isinstance(instances, Sequence) and not isinstance(instances, str),
        "a sequence of instances each time, not one instance at a time",
        repr(instances),
    )
    for instance in instances:
        claim("watch", isinstance(instance, Instance), "every member to be an Instance", repr(instance))
    claim(
        "watch",
        len(set(instances)) == len(instances),
        "each instance once (a weight makes it count twice)",
        repr(list(instances)),
    )


async def _check_registration(discovery: AnyDiscovery) -> None:
    lists = iterator_of("watch()", discovery.watch())
    try:
        _check_list(await next_of("watch", lists, "the whole list at once"))
        with calling("register", "the instance to be announced, or NotImplementedError where the system cannot"):
            await discovery.register(_NEWCOMER)
        await _until(lists, "watch after register", present=True)
        with calling("deregister", "the instance to be withdrawn"):
            await discovery.deregister(_NEWCOMER)
        await _until(lists, "watch after deregister", present=False)
    except NotImplementedError:
        pass
    finally:
        await _close(lists)


async def _until(lists: AsyncIterator[Any], where: str, *, present: bool) -> None:
    """Claim that a list with the newcomer (or without it) is reported before long; its labels may be lost."""
    expected = f"a list {'with' if present else 'without'} the instance {_NEWCOMER.url}"
    with calling(where, expected):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                instances = await next_of(where, lists, expected)
                _check_list(instances)
                if any(each.url == _NEWCOMER.url for each in instances) is present:
                    return


async def _close(lists: AsyncIterator[Any]) -> None:
    close = getattr(lists, "aclose", None)
    if close is not None:
        with calling("watch", "it to be closed without an error"):
            async with asyncio.timeout(PATIENCE_S):
                await close()
