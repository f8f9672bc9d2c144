"""The kinds of text in options about the way of requests: trusted proxies, a name in Via, the Host of a service."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator

from meshwright.http1.rules import host_name
from meshwright_sdk.errors import DownstreamError
from meshwright_sdk.tokens import TOKEN

_RECEIVED_BY = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?")


def _proxy(text: str) -> str:
    if text == "unix":
        return text
    try:
        ip_network(text)
    except ValueError as error:
        hint = " (no bits set to the right of its length)" if "host bits" in str(error) else ""
        raise ValueError(f"expected an address, a network such as 10.0.0.0/8{hint}, or unix; got {text!r}") from None
    return text


def _via(text: str) -> str:
    if TOKEN.fullmatch(text) is None and _RECEIVED_BY.fullmatch(text) is None:
        raise ValueError(f"expected off or a name such as edge or gw.example.com (RFC 9110, 7.6.3); got {text!r}")
    return text


def _service_host(text: str) -> str:
    try:
        host_name(text.encode("latin-1", "replace"))
    except DownstreamError:
        raise ValueError(f"expected keep, endpoint, or a host such as shop.example.com; got {text!r}") from None
    return text


TrustedProxy = Annotated[str, AfterValidator(_proxy)]
"""An address, a network, or the word unix."""
ViaName = Annotated[str, AfterValidator(_via)]
"""The word off, or what a gateway calls itself in Via: a pseudonym, or a host and maybe a port."""
ServiceHost = Annotated[str, AfterValidator(_service_host)]
"""One of the words keep and endpoint, or a host and maybe a port."""
