"""A TLS handshake between two contexts, in memory."""

from __future__ import annotations

import ssl
from collections.abc import Callable


def client_hello(context: ssl.SSLContext, name: str | None) -> tuple[ssl.SSLObject, ssl.MemoryBIO, bytes]:
    """Return a client that has begun its handshake, what it reads from, and the first bytes it sends."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    _step(client.do_handshake)
    return client, incoming, outgoing.read()


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str | None = "localhost") -> ssl.SSLObject:
    """Return the client's end after the handshake; raises ssl.SSLError where one of the two refuses."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(8):
        steps = [_step(end.do_handshake) for end in ends]
        if all(steps):
            break
    ends[1].write(b"x")
    assert ends[0].read(1) == b"x"  # with TLS 1.3 a client learns only now that its certificate is refused
    return ends[0]


def _step(call: Callable[[], None]) -> bool:
    try:
        call()
    except ssl.SSLWantReadError:
        return False
    return True


def names_shown(end: ssl.SSLObject) -> list[str]:
    """Return the DNS names of the certificate that the other end has shown."""
    shown = end.getpeercert()
    assert shown is not None
    return [str(pair[1]) for pair in shown["subjectAltName"] if isinstance(pair, tuple) and pair[0] == "DNS"]
