"""`static`: the endpoints as they are written in the configuration; nothing that is looked up goes in here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pydantic import Field

from meshwright_sdk import Discovery, Instance, InstanceOrUrl, Options


class StaticOptions(Options):
    """Options of static discovery."""

    endpoints: tuple[InstanceOrUrl, ...] = Field(
        description="Every endpoint of the service: its URL, or a mapping with url, weight, zone and labels."
    )


class Static(Discovery[StaticOptions]):
    """Report the endpoints that the configuration lists; they change with the configuration only.

    `endpoints` of the service itself is a short way to say the same.

    Example:
        discovery: {static: {endpoints: ["http://127.0.0.1:8001", {url: "http://127.0.0.1:8002", weight: 2}]}}
    """

    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        yield [endpoint.instance() for endpoint in self.options.endpoints]
