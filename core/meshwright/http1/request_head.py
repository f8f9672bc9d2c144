"""From a parsed head to a `Request`: target, host, forwarding fields, upgrade; framing is in `rules`, no I/O here."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from meshwright.http1.rules import Head, host_name
from meshwright.http1.target import BadTargetError, normalise_path, split_target
from meshwright_sdk.body import Body
from meshwright_sdk.errors import DownstreamError
from meshwright_sdk.headers import Headers, RawHeaders
from meshwright_sdk.request import Address, Request

_REFUSED_METHODS = frozenset(("CONNECT", "TRACE"))
_FORWARDED = frozenset(
    (
        b"forwarded",
        b"x-forwarded-by",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
    )
)
"""What a client says about the way it came is not believed, and upstreams must not read it as ours."""


@dataclass(slots=True)
class Peer:
    """What every request of one connection has in common."""

    address: Address
    scheme: str
    authority: bytes
    forwarded: RawHeaders


def peer_of(peername: object, sockname: object, *, tls: bool) -> Peer:
    """Return what a connection's two addresses say about its requests."""
    address = Address(peername[0], peername[1]) if isinstance(peername, tuple) else Address("", 0)
    scheme = "https" if tls else "http"
    return Peer(
        address,
        scheme,
        _authority(sockname),
        [
            (b"x-forwarded-for", address.host.encode("ascii", "replace") or b"unix"),
            (b"x-forwarded-proto", scheme.encode("ascii")),
        ],
    )


def _authority(sockname: object) -> bytes:
    if not isinstance(sockname, tuple):
        return b"localhost"
    host, port = sockname[:2]
    return f"[{host}]:{port}".encode("ascii") if ":" in host else f"{host}:{port}".encode("ascii")


def request_of(method: str, target: bytes, version: str, head: Head, peer: Peer) -> Request:
    """Return the request of a head; its body is empty until there is one. Raises DownstreamError."""
    if method in _REFUSED_METHODS:
        raise DownstreamError(f"method: {method} is not served here", status=405, code="method_refused")
    if target[:1] != b"/" and target != b"*":
        target = _origin_form(target, version, head)
    path, query = _path_and_query(method, target)
    host = head.host
    if host is None:
        host = _implied_host(version, head, peer)
    fields = [field for field in head.fields if field[0] not in _FORWARDED]
    fields += peer.forwarded
    fields.append((b"x-forwarded-host", host))
    return Request(
        method,
        path,
        query,
        Headers.from_raw(fields),
        NO_BODY,
        host=host_name(host),
        scheme=peer.scheme,
        http_version=version,
        client=peer.address,
        upgrade=_upgrade(version, head) if head.upgrade else "",
    )


NO_BODY = Body()
"""The body of every request that has none; nobody changes a body that is complete."""


def _path_and_query(method: str, target: bytes) -> tuple[str, str]:
    if target == b"*":
        if method != "OPTIONS":
            raise BadTargetError("target: expected a path; got *, which is for OPTIONS")
        return "*", ""
    if b"?" not in target and b"#" not in target:
        return normalise_path(target), ""
    path, query = split_target(target)
    return normalise_path(path), query.decode("ascii")


def _origin_form(target: bytes, version: str, head: Head) -> bytes:
    """Return the origin form of an absolute-form target; its authority replaces Host (RFC 9112, section 3.2.2)."""
    try:
        parts = urlsplit(target)
    except ValueError:
        parts = urlsplit(b"")
    if parts.scheme not in (b"http", b"https") or not parts.netloc or b"@" in parts.netloc or b"#" in target:
        raise BadTargetError(f"target: expected a path or an http URL; got {target[:80]!r}")
    if head.host is None and version != "1.0":
        raise _no_host()
    head.host = parts.netloc
    head.fields = [(b"host", parts.netloc), *(field for field in head.fields if field[0] != b"host")]
    return (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")


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


def keeps_alive(head: Head, version: str) -> bool:
    """Return whether the client wants its connection to stay open (RFC 9112, section 9.3)."""
    if b"close" in head.options:
        return False
    return version == "1.1" or b"keep-alive" in head.options
