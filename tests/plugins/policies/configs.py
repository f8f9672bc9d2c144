"""`config_of`: the YAML of a gateway in front of a test's real servers, whose service has the policies of the test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Server(Protocol):
    """Whatever a service may have for an endpoint."""

    @property
    def url(self) -> str:
        """Where it is."""


def config_of(servers: Iterable[Server], *policies: str, filters: str = "", service: str = "") -> str:
    """Return the YAML; `filters` are those of the route, and `service` is what else the service has, a flow mapping."""
    urls = ", ".join(f'"{server.url}"' for server in servers)
    return f"""
listeners: [{{name: web, bind: "127.0.0.1:0"}}]
routes: [{{name: all, filters: [{filters}], to: shop}}]
services: {{shop: {{endpoints: [{urls}], policies: [{", ".join(policies)}], {service}}}}}
"""
