"""The options of `redis`, checked as far as that needs no server; reading the files they name goes elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from meshwright_sdk import Duration, Options, Secret

Credentials = tuple[str | None, str | None]
"""User and password."""

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]@/]+))(?::(?P<port>[0-9]{1,5}))?")
_DATABASE = re.compile(r"/?[0-9]{0,6}")
_PORT = 6379
_SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens; `host` is the path of its socket when `port` is 0."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return f"unix:{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, default_port: int = _PORT) -> Address:
    """Return the address of `host:port`, `[::1]:port` or a host alone; raises ValueError."""
    matched = _ADDRESS.fullmatch(text)
    port = int(matched["port"] or default_port) if matched else 0
    if matched is None or not 0 < port < 65536:
        raise ValueError(f"expected host:port, such as 10.0.0.1:6379 or [::1]:6379; got {text!r}")
    return Address(matched["v6"] or matched["host"], port)


def _address(text: str) -> str:
    parse_address(text)
    return text


def _url(text: str) -> str:
    """Check the URL; what is wrong with it is said without it, for it may hold a password."""
    try:
        parts = urlsplit(text)
        port = parts.port or _PORT
    except ValueError:
        raise ValueError("expected redis://host:port/database; got a URL whose host or port is none") from None
    if parts.scheme == "unix":
        sound = parts.path.startswith("/") and not parts.netloc.rpartition("@")[2]
    else:
        sound = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and bool(_DATABASE.fullmatch(parts.path))
    if not sound or parts.query or parts.fragment or port < 1:
        raise ValueError("expected redis://host:port/database, rediss:// or unix:///path; got another URL")
    return text


RedisUrl = Annotated[str, AfterValidator(_url)]
ServerAddress = Annotated[str, AfterValidator(_address)]


class RedisTls(Options):
    """How servers are spoken to with TLS; all files are in PEM."""

    ca: str | None = Field(None, description="File with the authorities to believe, in place of the system's.")
    certificate: str | None = Field(None, description="File with the certificate to show to servers.")
    key: str | None = Field(None, description="File with its private key; the certificate's when left out.")
    verify: bool = Field(True, description="false: believe whoever answers. For experiments only.")


class RedisSentinel(Options):
    """The sentinels that know which server is the primary."""

    addresses: tuple[ServerAddress, ...] = Field(min_length=1, description="Sentinels, as host:port; one is enough.")
    name: str = Field(min_length=1, description="Name that the sentinels know the primary by, such as mymaster.")
    username: str | None = Field(None, description="User at the sentinels, when they want one.")
    password: Secret | None = Field(None, description="Password at the sentinels, when they want one.")

    @property
    def credentials(self) -> Credentials:
        """User and password at the sentinels."""
        return self.username, None if self.password is None else self.password.reveal()

    @property
    def servers(self) -> tuple[Address, ...]:
        """The sentinels' addresses."""
        return tuple(parse_address(address, _SENTINEL_PORT) for address in self.addresses)


class RedisCluster(Options):
    """A Redis Cluster; its other nodes are found."""

    addresses: tuple[ServerAddress, ...] = Field(min_length=1, description="Some of its nodes, as host:port.")

    @property
    def servers(self) -> tuple[Address, ...]:
        """The known nodes' addresses."""
        return tuple(map(parse_address, self.addresses))


class RedisOptions(Options):
    """Options of the Redis store: where it is (one of url, sentinel and cluster), and how long to wait for it."""

    url: RedisUrl | None = Field(
        None,
        repr=False,
        description="One server: redis://host:port/database, rediss:// for TLS, or unix:///path. "
        "A user and password in it are never shown.",
    )
    sentinel: RedisSentinel | None = Field(None, description="A primary that sentinels watch, in place of url.")
    cluster: RedisCluster | None = Field(None, description="A Redis Cluster, in place of url.")
    database: int = Field(0, ge=0, le=999_999, description="Number of the database; not with cluster, or in the url.")
    username: str | None = Field(None, description="User, for servers with ACLs.")
    password: Secret | None = Field(None, description="Password.")
    tls: RedisTls | None = Field(None, description="TLS to every server; a url with rediss:// needs it for files only.")
    prefix: str = Field(
        "meshwright:",
        max_length=100,
        description="What every key and channel begins with: gateways with the same share.",
    )
    timeout: Duration = Field(Duration("250ms"), description="How long a call may take; then it fails.")
    connect_timeout: Duration = Field(Duration("1s"), description="How long a connection and its greeting may take.")
    max_backoff: Duration = Field(
        Duration("2s"), description="Longest pause between two attempts to connect; they begin with 50ms and double."
    )
    max_waiting: PositiveInt = Field(10_000, description="Calls that wait for an answer at most; more fail at once.")
    max_messages: PositiveInt = Field(
        1_000, description="Messages that wait for one slow subscriber at most; beyond it the oldest is lost."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        given = [name for name in ("url", "sentinel", "cluster") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of url, sentinel and cluster; got {' and '.join(given) or 'none'}")
        if self.database and self.sentinel is None:
            raise ValueError(
                f"expected database with sentinel alone (write it as redis://host/1); got it with {given[0]}"
            )
        for name in ("timeout", "connect_timeout", "max_backoff"):
            if getattr(self, name) <= 0:
                raise ValueError(f"expected a {name} above 0s; got 0s")
        if self.url is not None and self.tls is not None and not self.url.startswith("rediss:"):
            raise ValueError("expected a url with rediss:// where there is tls; got one without")
        return self

    @property
    def parts(self) -> SplitResult:
        """The parts of the URL; of an empty one when there is none."""
        return urlsplit(self.url or "")

    @property
    def server(self) -> Address:
        """The address in the URL."""
        parts = self.parts
        if parts.scheme == "unix":
            return Address(unquote(parts.path), 0)
        return Address(parts.hostname or "", parts.port or _PORT)

    @property
    def credentials(self) -> Credentials:
        """User and password, of the URL where they are not options of their own."""
        parts = self.parts
        username = self.username or (unquote(parts.username) if parts.username else None)
        if self.password is not None:
            return username, self.password.reveal()
        return username, unquote(parts.password) if parts.password else None

    @property
    def number(self) -> int:
        """The number of the database."""
        return self.database or (int(self.parts.path.strip("/") or 0) if self.parts.scheme != "unix" else 0)

    @property
    def speaks_tls(self) -> bool:
        """Whether servers are spoken to with TLS."""
        return self.tls is not None or self.parts.scheme == "rediss"
