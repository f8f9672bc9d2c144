"""The options of `dns`, checked as far as that needs no resolver."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from meshwright_sdk import Duration, Options

_SERVER = re.compile(r"(?:\[(?P<bracketed>.+)\]|(?P<plain>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")


def _server(text: str) -> str:
    parse_server(text)
    return text


def parse_server(text: str) -> tuple[str, int]:
    """Return address and port of `127.0.0.1:5353`, `[::1]:5353` or an address alone; raises ValueError."""
    matched = _SERVER.fullmatch(text)
    try:
        host = ip_address(matched["bracketed"] or matched["plain"] if matched else text)
    except ValueError:
        host = None
    port = int(matched["port"] or 53) if matched else 53
    if host is None or not 0 < port < 65536:
        raise ValueError(f"expected an address with a port, such as 127.0.0.1:5353 or [::1]:5353; got {text!r}")
    return str(host), port


class DnsOptions(Options):
    """Options of DNS discovery."""

    host: str = Field(min_length=1, description="Name to resolve; with record srv a name such as _http._tcp.orders.")
    record: Literal["a", "aaaa", "srv"] = Field(
        "a", description="Kind of record: a (IPv4), aaaa (IPv6), or srv, which brings ports and weights."
    )
    port: int | None = Field(None, ge=1, le=65535, description="Port of every instance; not with record srv.")
    scheme: Literal["http", "https"] = Field("http", description="How the instances are spoken to.")
    server: Annotated[str, AfterValidator(_server)] | None = Field(
        None, description="DNS server to ask, such as 127.0.0.1:5353, in place of the system's."
    )
    min_ttl: Duration = Field(Duration("1s"), description="Ask again after this at the earliest, and after a failure.")
    max_ttl: Duration = Field(Duration("5m"), description="Ask again after this at the latest.")
    timeout: Duration = Field(Duration("5s"), description="How long one question may take.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.record == "srv" and self.port is not None:
            raise ValueError(f"expected no port with record srv, which brings its own; got {self.port}")
        if self.record != "srv" and self.port is None:
            raise ValueError(f"expected a port with record {self.record}; got none")
        if not 0 < self.min_ttl <= self.max_ttl:
            raise ValueError(f"expected min_ttl above 0 and at most max_ttl; got {self.min_ttl} and {self.max_ttl}")
        if self.timeout <= 0:
            raise ValueError("expected a timeout above 0s; got 0s")
        return self
