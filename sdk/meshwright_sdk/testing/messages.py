"""Requests and endpoints for tests; nothing is sent from here."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Iterable, Mapping
from urllib.parse import urlsplit

from meshwright_sdk.balancing import Endpoint, Instance
from meshwright_sdk.body import Body
from meshwright_sdk.headers import Headers
from meshwright_sdk.request import Address, Request

_PORT = re.compile(r":[0-9]*$")


def make_request(
    method: str = "GET",
    url: str = "http://gateway.test/",
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | AsyncIterable[bytes] = b"",
    client: str = "192.0.2.1",
) -> Request:
    """Return a request as the gateway would hand it to a filter.

    `url` may be a path alone. A `host` header is added from it unless `headers` has one.
    """
    parts = urlsplit(url)
    host = parts.netloc or "gateway.test"
    fields = Headers(headers)
    if "host" not in fields:
        fields.raw.insert(0, (b"host", host.encode("ascii")))
    return Request(
        method,
        parts.path or "/",
        parts.query,
        fields,
        Body(body) if isinstance(body, bytes) else Body.stream(body),
        host=_PORT.sub("", fields["host"]).lower(),
        scheme=parts.scheme or "http",
        client=Address(client, 40000),
        upgrade=fields.get("upgrade", "").lower(),
    )


def make_endpoint(
    url: str = "http://10.0.0.1:8000",
    *,
    weight: int = 1,
    zone: str = "",
    labels: Mapping[str, str] | None = None,
) -> Endpoint:
    """Return a live endpoint that nothing listens on."""
    return Endpoint(Instance(url=url, weight=weight, zone=zone, labels=labels or {}))
