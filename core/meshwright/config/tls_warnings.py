"""TLS to services that is right and still hardly meant; what is wrong with TLS is in `tls_checks`."""

from __future__ import annotations

from collections.abc import Iterator

from meshwright.config.model import GatewayConfig, ServiceConfig
from meshwright.config.problems import KeyPath

Warned = tuple[KeyPath, str, str]
"""Where, what was expected and what came."""


def tls_warnings(config: GatewayConfig) -> Iterator[Warned]:
    for name, service in config.services.items():
        path = ("services", name, "tls")
        if not service.tls.verify:
            got = "false: whoever is on the way to the endpoints can read and change everything"
            yield (*path, "verify"), "that endpoints' certificates are verified", got
        if "tls" in service.model_fields_set and _is_plain(service):
            yield path, "an https:// endpoint that it is for", "none: all traffic to this service is plain"


def _is_plain(service: ServiceConfig) -> bool:
    """Return whether it is known that no endpoint is spoken to by TLS; what discovery will find is not known."""
    endpoints = service.endpoints or ()
    return service.discovery is None and not any(each.url.startswith("https:") for each in endpoints)
