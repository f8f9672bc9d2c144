"""`Forwarding`: what one listener believes and tells about the way of requests; reading the lists is in `hops`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Literal, NamedTuple

from meshwright.http1.hops import (
    Hop,
    Hops,
    read_forwarded,
    read_host,
    read_scheme,
    read_x_forwarded_for,
    write_forwarded,
)
from meshwright.http1.rules import FORWARDED
from meshwright.http1.target import DEFAULT_RULES, Normaliser, PathRules, normaliser
from meshwright_sdk.headers import RawHeaders
from meshwright_sdk.request import Address

if TYPE_CHECKING:
    from meshwright.config.model import ListenerConfig

UNIX = "unix"
"""The word for peers that come by a Unix socket, among the trusted proxies."""

Tells = Literal["x-forwarded", "forwarded", "both", "off"]
"""Which fields tell services the way of a request."""

_DEFAULT_PORTS = {"http": b"80", "https": b"443"}
_KEPT = frozenset((b"x-forwarded-prefix", b"x-real-ip"))
"""Fields that a trusted proxy may set and this gateway never does."""

_X_FORWARDED = frozenset((b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto"))


class Trusted:
    """The proxies that are believed: addresses, networks, and whoever comes by a Unix socket."""

    __slots__ = ("_networks", "trusts", "unix")

    def __init__(self, proxies: Iterable[str] = ()) -> None:
        """Take texts such as 10.0.0.0/8, 2001:db8::1 and unix; raises ValueError."""
        words = tuple(proxies)
        self.unix = UNIX in words
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(each) for each in words if each != UNIX
        )
        self.trusts = lru_cache(maxsize=1024)(self._trusts)

    def _trusts(self, host: str) -> bool:
        """Return whether an address in its normal form is a trusted proxy's; an empty one is a Unix socket's."""
        if not host:
            return self.unix
        if not self._networks:
            return False
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


NOBODY = Trusted()


class Way(NamedTuple):
    """How a request came, as far as is believed: who sent it, with which scheme, and what services are told."""

    client: Address
    scheme: str
    fields: RawHeaders


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forwarding:
    """The settings of one listener about the way and the paths of requests. `via` is its name in Via, or empty."""

    trusted: Trusted = NOBODY
    tells: Tells = "x-forwarded"
    via: bytes = b""
    path: PathRules = DEFAULT_RULES
    normalise: Normaliser = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find what normalises paths once, not for each connection."""
        object.__setattr__(self, "normalise", normaliser(self.path))

    @classmethod
    def of(cls, config: ListenerConfig) -> Forwarding:
        """Return the settings that a listener's configuration asks for."""
        return cls(
            trusted=Trusted(config.trusted_proxies),
            tells=config.forwarded,
            via=b"" if config.via == "off" else config.via.encode("ascii"),
            path=PathRules(**config.path.model_dump()),
        )

    def direct(self, address: Address, scheme: str, host: bytes) -> RawHeaders:
        """Return what services are told of a request that is taken to come straight from its client."""
        if self.tells == "x-forwarded":
            return [*_of_client(address.host, scheme), *_of_host(host, scheme)]
        return self._fields([Hop(address.host, 0, scheme, host)], scheme, host, port_of(host, scheme))

    def way_of(self, came: RawHeaders, address: Address, scheme: str, host: bytes) -> Way:
        """Return the way of a request that a trusted proxy at `address` sent to `host`, from the fields that came.

        Its client is the first from the right that is not a trusted proxy. What is malformed counts as not there.
        """
        told = _joined(came)
        claims = self._claims(told)
        way = [*claims.hops, Hop(address.host, 0, scheme, host)]
        place = self._first_believed(way)
        first = way[place]
        scheme = claims.scheme or first.scheme or scheme
        host = claims.host or first.host or host
        way[place] = first._replace(scheme=scheme, host=host)
        sender = next((hop for hop in way[place:-1] if hop.is_address), None)
        client = Address(sender.node, sender.port) if sender is not None else address
        fields = self._fields(way, scheme, host, claims.port or port_of(host, scheme))
        if self.tells != "off":
            fields += [field for field in came if field[0] in _KEPT]
        return Way(client, scheme, fields)

    def _claims(self, told: dict[bytes, bytes]) -> Claims:
        """Return what the fields say; one family of them is read, never both."""
        tells = self.tells
        if tells == "forwarded" or (tells != "x-forwarded" and _X_FORWARDED.isdisjoint(told)):
            return Claims(read_forwarded(told.get(b"forwarded", b"")))
        return Claims(
            read_x_forwarded_for(told.get(b"x-forwarded-for", b"")),
            read_scheme(told.get(b"x-forwarded-proto", b"")),
            read_host(told.get(b"x-forwarded-host", b"")),
            _read_port(told.get(b"x-forwarded-port", b"")),
        )

    def _first_believed(self, way: list[Hop]) -> int:
        """Return the place of the first hop that a trusted proxy has told; the last hop of a way is our own."""
        place = max(len(way) - 2, 0)
        while place and way[place].is_address and self.trusted.trusts(way[place].node):
            place -= 1
        return place

    def _fields(self, way: list[Hop], scheme: str, host: bytes, port: bytes) -> RawHeaders:
        fields: RawHeaders = []
        if self.tells in ("x-forwarded", "both"):
            fields += _of_client(_addresses(way), scheme)
            fields += ((b"x-forwarded-host", host), (b"x-forwarded-port", port))
        if self.tells in ("forwarded", "both"):
            fields.append((b"forwarded", ", ".join(map(write_forwarded, way)).encode("ascii", "replace")))
        return fields


DEFAULT_FORWARDING = Forwarding()


class Claims(NamedTuple):
    """What the fields of a trusted proxy say, where they say it: the way before it, and what its client addressed."""

    hops: Hops
    scheme: str = ""
    host: bytes = b""
    port: bytes = b""


@lru_cache(maxsize=1024)
def _of_client(addresses: str, scheme: str) -> tuple[tuple[bytes, bytes], ...]:
    proto = (b"x-forwarded-proto", scheme.encode("ascii"))
    return ((b"x-forwarded-for", addresses.encode("ascii", "replace")), proto) if addresses else (proto,)


@lru_cache(maxsize=1024)
def _of_host(host: bytes, scheme: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"x-forwarded-host", host), (b"x-forwarded-port", port_of(host, scheme)))


def port_of(host: bytes, scheme: str) -> bytes:
    """Return the port that a client means by a Host field's value, which is a good one."""
    port = host.rpartition(b":")[2] if host[-1:].isdigit() and b":" in host else b""
    return port or _DEFAULT_PORTS[scheme]


def _read_port(value: bytes) -> bytes:
    port = value.strip(b" \t")
    return port if port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535 else b""


def _joined(came: RawHeaders) -> dict[bytes, bytes]:
    """Return the fields about the way, several of a name as one list (RFC 9110, section 5.3)."""
    told: dict[bytes, bytes] = {}
    for name, value in came:
        if name in FORWARDED:
            told[name] = told[name] + b"," + value if name in told else value
    return told


def _addresses(way: list[Hop]) -> str:
    """Return the addresses at the end of a way; a Unix socket, which may be the last, has none."""
    nodes: list[str] = []
    for hop in reversed(way if way[-1].node else way[:-1]):
        if not hop.is_address:
            break
        nodes.append(hop.node)
    return ", ".join(reversed(nodes))
