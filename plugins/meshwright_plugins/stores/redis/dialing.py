"""`Dialing`: how a connection to any server of a store is made and greeted; which server goes elsewhere."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from meshwright_plugins.stores.redis.calls import Call
from meshwright_plugins.stores.redis.connection import Connection, Limits, Meters, Refused
from meshwright_plugins.stores.redis.listener import Listener, OnMessage
from meshwright_plugins.stores.redis.options import Address, Credentials, RedisOptions, RedisTls
from meshwright_plugins.stores.redis.resp import Refusal, pack
from meshwright_plugins.stores.redis.scripts import SCRIPTS
from meshwright_sdk import StoreError

P = TypeVar("P", bound=asyncio.Protocol)

_ROLE = pack(b"ROLE")


@dataclass(frozen=True, slots=True)
class Dialing:
    """Everything that connections to servers of one store have in common."""

    options: RedisOptions
    limits: Limits
    meters: Meters
    tls: ssl.SSLContext | None

    async def connect(self, address: Address, refused: Refused, *, wants_primary: bool = False) -> Connection:
        """Return a connection that is ready for calls; raises StoreError that says why there is none."""
        greeting = [*_login(self.options.credentials), *(script.load for script in SCRIPTS)]
        if self.options.number:
            greeting.append(pack(b"SELECT", b"%d" % self.options.number))
        async with self._dialed(address, refused) as connection:
            await _ask_all(connection, greeting)
            if wants_primary and (await connection.ask(_ROLE))[:1] != [b"master"]:
                raise StoreError("it is no primary (yet)")
        connection.has_served = False
        return connection

    async def ask(self, address: Address, question: bytes, credentials: Credentials) -> Any:
        """Return the reply to one command, over a connection of its own; raises StoreError."""
        async with self._dialed(address, _refuse) as connection:
            replies = await _ask_all(connection, [*_login(credentials), question])
        connection.drop("it is not needed any more")
        return replies[-1]

    async def listen(self, address: Address, on_message: OnMessage) -> Listener:
        """Return a connection for messages; raises StoreError."""
        try:
            async with asyncio.timeout(float(self.options.connect_timeout)):
                listener = await self._open(address, lambda: Listener(on_message))
        except (OSError, ValueError) as error:
            raise StoreError(f"{address}: {_reason(error)}") from error
        for words in _login(self.options.credentials):
            listener.write(words)
        return listener

    @asynccontextmanager
    async def _dialed(self, address: Address, refused: Refused) -> AsyncIterator[Connection]:
        """Open a connection for the block, which greets; it is dropped when that fails or takes too long."""
        connection: Connection | None = None
        try:
            async with asyncio.timeout(float(self.options.connect_timeout)):
                connection = await self._open(
                    address, lambda: Connection(address.host, self.limits, self.meters, refused)
                )
                yield connection
        except BaseException as error:
            if connection is not None:
                connection.drop(_reason(error))
            if isinstance(error, OSError | StoreError | TypeError | ValueError):  # a host that is none, a strange reply
                raise StoreError(f"{address}: {_reason(error)}") from error
            raise

    async def _open(self, address: Address, make: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        if not address.port:
            return (await loop.create_unix_connection(make, address.host))[1]
        return (await loop.create_connection(make, address.host, address.port, ssl=self.tls))[1]


async def _ask_all(connection: Connection, payloads: Sequence[bytes]) -> list[Any]:
    """Return the replies to commands that are sent together; raises the StoreError of the first that failed."""
    replies = await asyncio.gather(*map(connection.ask, payloads), return_exceptions=True)
    for reply in replies:
        if isinstance(reply, BaseException):
            raise reply
    return replies


def _login(credentials: Credentials) -> list[bytes]:
    username, password = credentials
    if password is None:
        return []
    return [pack(b"AUTH", *([username.encode()] if username else []), password.encode())]


def _refuse(connection: Connection, call: Call, refusal: Refusal) -> None:
    call.refuse(refusal)


def tls_context(options: RedisOptions, base_dir: Path) -> ssl.SSLContext | None:
    """Return what TLS connections are made with, or None without TLS; reads the files, raises OSError."""
    if not options.speaks_tls:
        return None
    tls = options.tls or RedisTls()
    context = ssl.create_default_context(cafile=_file(tls.ca, base_dir))
    if not tls.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if (certificate := _file(tls.certificate, base_dir)) is not None:
        context.load_cert_chain(certificate, _file(tls.key, base_dir))
    return context


def _file(name: str | None, base_dir: Path) -> str | None:
    return None if name is None else str(base_dir / name)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "it refuses connections"
    if isinstance(error, StoreError) and isinstance(error.__cause__, Refusal):
        return str(error.__cause__)
    if isinstance(error, StoreError):
        return error.detail.removeprefix("Redis is away: ")
    return str(error) or type(error).__name__
