"""`Hop`: one step of a request's way, as X-Forwarded-For and Forwarded tell it; whom to believe goes elsewhere."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from meshwright.http1.rules import host_name
from meshwright_sdk.errors import DownstreamError
from meshwright_sdk.tokens import TOKEN

MAX_HOPS = 32
"""So many hops are read from the right; what is left of them is dropped."""

_REMEMBERED_BYTES = 256
_ADDRESS = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?|([0-9.]+):([0-9]{1,5})|([0-9A-Fa-f:.]+)")
_NAMELESS = re.compile(r"(unknown|_[A-Za-z0-9._-]+)(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?", re.IGNORECASE)
_HIDDEN_PORT = re.compile(r":_[A-Za-z0-9._-]+\Z")
_PAIR = re.compile(
    rf"""[ \t]*+(?:({TOKEN.pattern})=(?:({TOKEN.pattern})|"((?:[^"\\]|\\.)*)"))?[ \t]*+(?:;|\Z)""",
)
_QUOTED_PAIR = re.compile(r"\\(.)")
_SCHEMES = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}


class Hop(NamedTuple):
    """Who sent a request on, and with which scheme and for which host, where that is told.

    `node` is an IP address in its one normal form, or what Forwarded has in place of one: `unknown`, `_name` or
    nothing at all. `port` is 0 where it is not told.
    """

    node: str
    port: int = 0
    scheme: str = ""
    host: bytes = b""

    @property
    def is_address(self) -> bool:
        """Whether the node is known by its address."""
        return self.node[:1] not in ("", "_", "u")


Hops = tuple[Hop, ...]
"""A way, the first hop first; the last is what the nearest proxy told of whom it got the request from."""


def normal_address(text: str) -> str:
    """Return an IP address in its normal form, IPv4 in IPv6 as IPv4, without zone; raises ValueError."""
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


def read_x_forwarded_for(value: bytes) -> Hops:
    """Return the hops of the list in X-Forwarded-For, several fields joined by commas; ports may follow addresses.

    It is read from the right, where the nearest proxy wrote, and ends before what is no address. Never raises.
    """
    return _known_list(value) if len(value) <= _REMEMBERED_BYTES else _read_list(value)


def read_forwarded(value: bytes) -> Hops:
    """Return the hops of the list in Forwarded (RFC 7239, section 4), several fields joined by commas.

    It is read from the right, where the nearest proxy wrote, and ends before what is malformed, so that a stranger's
    quote on the left hides nothing: no comma is taken for a quoted one. Never raises.
    """
    return _known_elements(value) if len(value) <= _REMEMBERED_BYTES else _read_elements(value)


def write_forwarded(hop: Hop) -> str:
    """Return a hop as an element of Forwarded."""
    node = f"[{hop.node}]" if ":" in hop.node else hop.node or "unknown"
    pairs = [("for", f"{node}:{hop.port}" if hop.port else node), ("host", hop.host.decode("ascii"))]
    return ";".join(f"{name}={_quoted(value)}" for name, value in (*pairs, ("proto", hop.scheme)) if value)


def _quoted(value: str) -> str:
    return value if TOKEN.fullmatch(value) else f'"{value}"'


def read_scheme(value: bytes) -> str:
    """Return http or https, also for ws and wss; nothing for what is neither, or a list."""
    return _SCHEMES.get(value.strip(b" \t").lower(), "")


def read_host(value: bytes) -> bytes:
    """Return the host and port that a proxy told; nothing for what a Host field could not be."""
    host = value.strip(b" \t")
    try:
        host_name(host)
    except DownstreamError:
        return b""
    return host


def _last_parts(value: bytes) -> list[str]:
    """Return the last parts of a comma-separated list, the last one first; empty ones count for nothing."""
    parts = value.decode("latin-1").rsplit(",", MAX_HOPS * 2)  # what is left unsplit, in front, is no good entry
    return [text for part in reversed(parts) if (text := part.strip(" \t"))][:MAX_HOPS]


def _read_list(value: bytes) -> Hops:
    hops: list[Hop] = []
    for part in _last_parts(value):
        try:
            hops.append(_read_address(part))
        except ValueError:
            break
    return tuple(reversed(hops))


def _read_address(text: str) -> Hop:
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(f"expected an IP address; got {text!r}")
    node = normal_address(match[1] or match[3] or match[5])
    if match[1] and ":" not in match[1]:
        raise ValueError(f"expected IPv6 in brackets; got {text!r}")
    port = int(match[2] or match[4] or 0)
    return Hop(node, port if port <= 65535 else 0)


def _read_elements(value: bytes) -> Hops:
    hops: list[Hop] = []
    for part in _last_parts(value):
        try:
            hops.append(_read_element(part))
        except ValueError:
            break
    return tuple(reversed(hops))


def _read_element(text: str) -> Hop:
    pairs: dict[str, str] = {}
    place = 0
    while place < len(text):
        match = _PAIR.match(text, place)
        if match is None:
            raise ValueError(f"expected name=value; got {text!r}")
        if match[1]:
            name = match[1].lower()
            if name in pairs:
                raise ValueError(f"expected each parameter once; got {text!r}")
            pairs[name] = match[2] if match[3] is None else _QUOTED_PAIR.sub(r"\1", match[3])
        place = match.end()
    node = _read_node(pairs.get("for", ""))
    scheme = read_scheme(pairs.get("proto", "").encode("latin-1"))
    return Hop(node.node, node.port, scheme, read_host(pairs.get("host", "").encode("latin-1")))


def _read_node(text: str) -> Hop:
    nameless = _NAMELESS.fullmatch(text)
    if nameless is not None:
        return Hop(nameless[1] if text[0] == "_" else "unknown")
    return _read_address(_HIDDEN_PORT.sub("", text)) if text else Hop("")


_known_list = lru_cache(maxsize=1024)(_read_list)
_known_elements = lru_cache(maxsize=1024)(_read_elements)
