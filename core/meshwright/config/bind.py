"""`Bind`: the address a listener or the admin API is bound to, as it is written in YAML; it opens no socket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_FORM = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9_.-]+)):(?P<port>[0-9]{1,5})")
_UNIX = re.compile(r"unix:/[^\0\n]+")
_EXPECTED = "an address such as 127.0.0.1:8080, [::1]:8080 or unix:/run/web.sock"
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104


@dataclass(frozen=True, slots=True)
class Bind:
    """A host and a port, or the path of a Unix socket. Port 0 lets the system choose a free one."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `host:port`, `[IPv6]:port` or `unix:/path`; raises ValueError with what was expected."""
        if isinstance(text, cls):
            return text
        if isinstance(text, str) and _UNIX.fullmatch(text):
            return cls(path=text.removeprefix("unix:"))
        form = _FORM.fullmatch(text) if isinstance(text, str) else None
        if form is None or int(form["port"]) > 65535 or not _is_host(form):
            raise ValueError(f"expected {_EXPECTED}; got {text!r}")
        return cls(form["ipv6"] or form["host"], int(form["port"]))

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def overlaps(self, other: Bind) -> bool:
        """Return whether the two can not be bound at the same time."""
        if self.path or other.path:
            return self.path == other.path
        same_host = self.host == other.host or self.host in _WILDCARDS or other.host in _WILDCARDS
        return same_host and self.port == other.port != 0

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema(when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        pattern = r"^(unix:/.+|(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5})$"
        return {
            "type": "string",
            "pattern": pattern,
            "examples": ["127.0.0.1:8080", "[::1]:8080", "unix:/run/web.sock"],
        }


def _is_host(form: re.Match[str]) -> bool:
    """Return whether an address in brackets is one; names are left to the resolver."""
    try:
        return form["ipv6"] is None or ip_address(form["ipv6"]).version == 6
    except ValueError:
        return False
