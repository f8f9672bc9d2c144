"""From a parsed head to a `Request`: target, host, forwarding fields, upgrade; framing is in `rules`, no I/O here."""

from __future__ import annotations

import re
from copy import copy

from meshwright.http1.forwarding import DEFAULT_FORWARDING, Forwarding
from meshwright.http1.hops import normal_address
from meshwright.http1.rules import FORWARDED, Head, host_name
from meshwright.http1.target import REMEMBERED_BYTES, BadTargetError, split_target
from meshwright_sdk.body import Body
from meshwright_sdk.errors import DownstreamError
from meshwright_sdk.headers import Headers, RawHeaders
from meshwright_sdk.request import Address, Request

_REFUSED_METHODS = frozenset(("CONNECT", "TRACE", "PRI"))
_ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_ABSOLUTE = re.compile(rb"(https?)://([^/?#]+)(/[^?#]*)?(?:\?([^#]*))?", re.IGNORECASE)


class Peer:
    """What every request of one connection has in common.

    `host` is the Host of the last request, `name` the name in it, and `fields` what services are told of the way of
    requests to it: a client's next request is nearly always for the same.
    """

    __slots__ = (
        "address",
        "authority",
        "fields",
        "forwarding",
        "host",
        "name",
        "normalise",
        "scheme",
        "trusted",
        "via",
    )

    def __init__(self, address: Address, scheme: str, authority: bytes, forwarding: Forwarding) -> None:
        self.address = address
        self.scheme = scheme
        self.authority = authority
        self.forwarding = forwarding
        self.trusted = forwarding.trusted.trusts(address.host)
        self.normalise = forwarding.normalise
        self.via = forwarding.via
        self.host: bytes | None = None
        self.name = ""
        self.fields: RawHeaders = []

    def learn(self, host: bytes) -> None:
        """Take note of a Host that is not the last one; raises DownstreamError for what is none."""
        self.name = host_name(host)
        self.fields = self.forwarding.direct(self.address, self.scheme, host)
        self.host = host


def peer_of(peername: object, sockname: object, *, tls: bool, forwarding: Forwarding = DEFAULT_FORWARDING) -> Peer:
    """Return what a connection's two addresses say about its requests, by the settings of its listener.

    A text is that of a Unix socket; a peer that is not known, None, is no trusted proxy.
    """
    peer = Peer(_address(peername), "https" if tls else "http", _authority(sockname), forwarding)
    peer.trusted = peer.trusted and peername is not None
    return peer


def _address(peername: object) -> Address:
    if not isinstance(peername, tuple):
        return Address("", 0)
    host, port = peername[:2]
    return Address(_normal(host), port)


def _normal(host: str) -> str:
    """Return an address without what a socket for IPv6 may add: a prefix to IPv4, a zone; a name stays as it is."""
    try:
        return normal_address(host) if ":" in host else host
    except ValueError:
        return host


def _authority(sockname: object) -> bytes:
    if not isinstance(sockname, tuple):
        return b"localhost"
    host, port = sockname[:2]
    host = _normal(host)
    return f"[{host}]:{port}".encode("ascii") if ":" in host else f"{host}:{port}".encode("ascii")


def request_of(method: str, target: bytes, version: str, head: Head, peer: Peer) -> Request:
    """Return the request of a head; its body is empty until there is one. Raises DownstreamError."""
    if method in _REFUSED_METHODS:
        raise _refused(method)
    secure = False
    if target[:1] != b"/" and target != b"*":
        head = copy(head)
        target, secure = _origin_form(target, version, head)
    host = head.host
    if host is None:
        head = copy(head)
        host = _implied_host(version, head, peer)
    if host != peer.host:
        peer.learn(host)
    if b"?" in target or b"#" in target or target == b"*":
        path, query = _path_and_query(method, target, peer)
    else:
        normalise = peer.normalise
        path = normalise.known(target) if len(target) <= REMEMBERED_BYTES else normalise.unknown(target)
        query = ""
    fields = head.fields
    client, scheme, own = peer.address, peer.scheme, peer.fields
    if head.tells_way:
        if peer.trusted:
            client, scheme, own = peer.forwarding.way_of(fields, client, scheme, host)
        fields = [field for field in fields if field[0] not in FORWARDED]
    fields = fields + own
    if peer.via:
        fields.append((b"via", b"%b %b" % (version.encode("ascii"), peer.via)))
    if secure and scheme != "https":
        raise _misdirected()
    request = Request(method, path, query, Headers.from_raw(fields), NO_BODY)
    # Not as arguments with names: they took 0.24 µs of the 1.72 that this function did.
    request.host = peer.name
    request.scheme = scheme
    request.http_version = version
    request.client = client
    request.upgrade = _upgrade(version, head) if head.upgrade else ""
    return request


NO_BODY = Body()
"""The body of every request that has none; nobody changes a body that is complete."""


def _refused(method: str) -> DownstreamError:
    error = DownstreamError(f"method: {method} is not served here", status=405, code="method_refused")
    error.headers["allow"] = _ALLOWED_METHODS
    return error


def _misdirected() -> DownstreamError:
    text = "target: expected an https URL over TLS only (RFC 9110, section 7.4)"
    return DownstreamError(text, status=421, code="misdirected")


def _path_and_query(method: str, target: bytes, peer: Peer) -> tuple[str, str]:
    if target == b"*":
        if method != "OPTIONS":
            raise BadTargetError("target: expected a path; got *, which is for OPTIONS")
        return "*", ""
    path, query = split_target(target)
    return peer.normalise(path), query.decode("ascii")


def _origin_form(target: bytes, version: str, head: Head) -> tuple[bytes, bool]:
    """Return the origin form of an absolute-form target, and whether it is one of https (RFC 9112, section 3.2.2).

    Its authority replaces Host, which must be there and well-formed all the same.
    """
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise BadTargetError(f"target: expected a path or an http URL; got {target[:80]!r}")
    scheme, authority, path, query = match.groups()
    if head.host is not None:
        host_name(head.host)
    elif version != "1.0":
        raise _no_host()
    head.host = authority
    head.fields = [(b"host", authority), *(field for field in head.fields if field[0] != b"host")]
    return (path or b"/") + (b"?" + query if query else b""), len(scheme) == len(b"https")


def _implied_host(version: str, head: Head, peer: Peer) -> bytes:
    """Return the host of a request that names none, which is for HTTP/1.0: the address it was sent to."""
    if version != "1.0":
        raise _no_host()
    head.fields = [(b"host", peer.authority), *head.fields]
    return peer.authority


def _no_host() -> DownstreamError:
    return DownstreamError("host: expected one field (RFC 9112, section 3.2); got none")


def _upgrade(version: str, head: Head) -> str:
    """Return the one protocol the client asks for; never h2c, which would carry requests past the chain.

    HTTP/1.0 knows no upgrades (RFC 9110, section 7.8), and nobody needs one on a request with a body.
    """
    protocol = head.upgrade
    if version == "1.0" or b"upgrade" not in head.options or head.has_body or protocol == b"h2c" or b"," in protocol:
        return ""
    return protocol.decode("latin-1")
