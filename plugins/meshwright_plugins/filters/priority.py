"""`priority`: which requests matter more under load. Nothing that waits or refuses goes in here."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Self

from pydantic import Field, model_validator

from meshwright_sdk import CallNext, Context, Filter, HeaderName, Key, Options, Priority, Request, Response
from meshwright_sdk.priority import NORMAL_PRIORITY, PRIORITY_NAMES

_SAID_BY_CLIENTS = re.compile(r"(?:^|\{)(?:header:|cookie:|query|url)")
_NUMBERS = {str(number): number for number in range(10)}
_CLIENTS_KEPT = 4096


class PriorityOptions(Options):
    """What gives a request its priority."""

    level: Priority = Field(
        NORMAL_PRIORITY,
        description="The priority of every request for which `key` gives none: lowest, low, normal, high, critical, or "
        "a number from 0, which is shed first, to 9.",
    )
    key: Key | None = Field(
        None,
        description="What of a request tells its priority: header:NAME, claim:NAME or another key, or a Python "
        "expression such as `python: 9 if request.path == '/pay' else 5`.",
    )
    levels: dict[str, Priority] = Field(
        {}, description="The priority for each value of `key`; without it the value is itself a priority."
    )
    trusted_clients: list[IPv4Network | IPv6Network] = Field(
        [],
        description="Networks of clients that may raise their own priority above `level` by a header, cookie or query "
        "parameter; everybody else can only lower it so.",
    )
    header: HeaderName | None = Field(
        None, description="A header that tells the upstream the priority, as a number, in place of what a client sent."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.key is None and (self.levels or self.trusted_clients):
            raise ValueError("expected a key, which levels and trusted_clients are about; got none")
        if self.trusted_clients and not _said_by_client(self.key):
            raise ValueError(f"expected trusted_clients only with a key that clients say themselves; got {self.key}")
        return self


class PriorityOf(Filter[PriorityOptions]):
    """Set the priority of each request, by which `overload` sheds and `concurrency` lets requests wait.

    Where the key is what the client says of itself (`header:`, `cookie:`, `query:`, also within a text of several), a
    request gets at most `level`, unless its client is in `trusted_clients`: nobody raises himself. A claim or a Python
    expression is believed. A value that is no priority counts as none.

    Put it outside of `overload` and `concurrency`, and inside of what finds out claims.

    Example:
        filters:
          - priority: {key: "claim:plan", levels: {gold: high, free: low}}
    """

    name = "priority"

    def __init__(self, options: PriorityOptions, context: Context) -> None:
        super().__init__(options, context)
        self._level = options.level
        self._levels = options.levels or _NUMBERS | PRIORITY_NAMES
        self._of = options.key.of if options.key is not None else None
        self._capped = _said_by_client(options.key)
        self._trusts = lru_cache(_CLIENTS_KEPT)(self._is_trusted)
        self._header = options.header.encode("ascii") if options.header is not None else None

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        level = self._level
        if self._of is not None:
            given = self._levels.get(self._of(request), level)
            if given <= level or not self._capped or (request.client is not None and self._trusts(request.client.host)):
                level = given
        request.priority = level
        if self._header is not None:
            request.headers.set_bytes(self._header, b"%d" % level)
        return await call_next(request)

    def _is_trusted(self, host: str) -> bool:
        if not self.options.trusted_clients:
            return False
        try:
            address = ip_address(host)
        except ValueError:
            return False  # a client at a Unix socket has none
        return any(address in network for network in self.options.trusted_clients)


def _said_by_client(key: Key | None) -> bool:
    """Return whether the key is a text that the client has written; an expression's author knows what he believes."""
    text = "" if key is None else key.text
    return not text.startswith("python:") and _SAID_BY_CLIENTS.search(text) is not None
