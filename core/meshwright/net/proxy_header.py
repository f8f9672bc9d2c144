"""The header of the PROXY protocol, versions 1 and 2, as functions over bytes; no socket is touched here.

The source is "The PROXY protocol" of HAProxy (proxy-protocol.txt), sections 2.1 (text) and 2.2 (binary).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from struct import Struct

Address = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""

MOST_BYTES = 4096
"""Of a whole header. Version 1 has 107 at most; version 2 might have 65,551 by its length, and nobody needs them."""

_V1_BYTES = 107
_V1_START = b"PROXY "
_V2_START = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED = 16
_LOCAL, _PROXY = 0x20, 0x21
_UNSPEC, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_TCP4_PORTS, _TCP6_PORTS = Struct("!4s4sHH"), Struct("!16s16sHH")
_UNIX_PATHS = Struct("!108s108s")


class ProxyHeaderError(ValueError):
    """What came is no header of the PROXY protocol."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A whole header of `length` bytes, and the connection it speaks of.

    Without a source and destination the connection is what it seems to be: the proxy speaks for itself, or
    does not know.
    """

    length: int
    source: Address | None = None
    destination: Address | None = None


def parse(data: bytes) -> ProxyHeader | None:
    """Return the header that `data` starts with, or None as long as it may become one.

    Raises ProxyHeaderError as soon as it cannot.
    """
    if data[:6] == _V1_START[: len(data)]:
        return _parse_text(data)
    if data[:12] == _V2_START[: len(data)]:
        return _parse_binary(data)
    raise ProxyHeaderError(f"expected a header of the PROXY protocol; got {data[:16]!r}")


def _parse_text(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:_V1_BYTES].partition(b"\r\n")
    if not end:
        if len(data) >= _V1_BYTES:
            raise ProxyHeaderError(f"expected the end of a version 1 header within {_V1_BYTES} bytes")
        return None
    words = line.decode("latin-1").split(" ")
    length = len(line) + 2
    if words[1] == "UNKNOWN":
        return ProxyHeader(length)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyHeaderError(f"expected PROXY TCP4, TCP6 or UNKNOWN and its addresses; got {line!r}")
    source, destination = (_ip(words[1], text) for text in words[2:4])
    return ProxyHeader(length, (source, _port(words[4])), (destination, _port(words[5])))


def _ip(protocol: str, text: str) -> str:
    try:
        if "%" not in text:  # a zone means nothing to another machine
            return str(IPv4Address(text) if protocol == "TCP4" else IPv6Address(text))
    except AddressValueError:
        pass
    raise ProxyHeaderError(f"expected an address of {protocol}; got {text!r}")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > 65535 or text != str(int(text)):
        raise ProxyHeaderError(f"expected a port from 0 to 65535; got {text!r}")
    return int(text)


def _parse_binary(data: bytes) -> ProxyHeader | None:
    if len(data) >= 13 and data[12] not in (_LOCAL, _PROXY):
        raise ProxyHeaderError(f"expected version 2 and the command LOCAL or PROXY; got {data[12]:#04x}")
    if len(data) < _V2_FIXED:
        return None
    length = _V2_FIXED + int.from_bytes(data[14:16], "big")
    if length > MOST_BYTES:
        raise ProxyHeaderError(f"expected a version 2 header of {MOST_BYTES} bytes at most; got {length}")
    family = data[13]
    if data[12] == _PROXY and family not in _SIZES:
        raise ProxyHeaderError(f"expected a stream over IPv4, IPv6 or Unix; got family and protocol {family:#04x}")
    if data[12] == _PROXY and length < _V2_FIXED + _SIZES[family]:
        raise ProxyHeaderError(f"expected {_SIZES[family]} bytes of addresses or more; got {length - _V2_FIXED}")
    if len(data) < length:
        return None
    if data[12] == _LOCAL:
        return ProxyHeader(length)
    source, destination = _addresses(family, data[_V2_FIXED:])
    return ProxyHeader(length, source, destination)


_SIZES = {_UNSPEC: 0, _TCP4: _TCP4_PORTS.size, _TCP6: _TCP6_PORTS.size, _UNIX: _UNIX_PATHS.size}


def _addresses(family: int, data: bytes) -> tuple[Address | None, Address | None]:
    """Return source and destination; the type-length-value fields behind them are passed over."""
    if family == _UNSPEC:
        return None, None
    if family == _UNIX:
        source, destination = _UNIX_PATHS.unpack_from(data)
        return _path(source), _path(destination)
    layout, kind = (_TCP4_PORTS, socket.AF_INET) if family == _TCP4 else (_TCP6_PORTS, socket.AF_INET6)
    source, destination, source_port, destination_port = layout.unpack_from(data)
    return (socket.inet_ntop(kind, source), source_port), (socket.inet_ntop(kind, destination), destination_port)


def _path(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")
