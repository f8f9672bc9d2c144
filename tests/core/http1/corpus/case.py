"""`Case`: raw bytes and what has to become of them. The tables of cases are in the files beside this one."""

from __future__ import annotations

from dataclasses import dataclass

BAD = frozenset((400,))
CODING = frozenset((400, 501))
"""An unknown transfer coding may also be called just that (RFC 9112, section 6.1)."""

VERSION = frozenset((400, 505))
TARGET = frozenset((400, 404, 414))
EXPECTATION = frozenset((400, 417))
METHOD = frozenset((400, 405, 501))
LARGE = frozenset((400, 413, 431))

CANARY = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
"""Sent after each case: a request of its own behind what is accepted, nothing at all behind what is refused."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as whoever receives it understands it; a target or host of None may be any."""

    method: str
    target: str | None = "/"
    body: bytes = b""
    host: str | None = "a"

    def matches(self, other: Seen) -> bool:
        return (
            (self.method, self.body) == (other.method, other.body)
            and self.target in (None, other.target)
            and self.host in (None, other.host)
        )


CANARY_SEEN = Seen("GET", "/smuggled")


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes a client sends, and which requests reach the upstream whole.

    `seen` are those that may or must; with `refused` the last answer has one of these statuses and nothing more is
    read. `free` leaves the choice between both. `absent` are fields that must not reach the upstream.
    """

    sent: bytes
    seen: tuple[Seen, ...] = ()
    refused: frozenset[int] = frozenset()
    free: bool = False
    last: bool = False
    absent: frozenset[bytes] = frozenset()


def accept(sent: bytes, *seen: Seen, last: bool = False, absent: frozenset[bytes] = frozenset()) -> Case:
    """Have `seen` reach the upstream; after the `last` request of a connection no other is served."""
    return Case(sent, seen or (Seen("GET"),), last=last, absent=absent)


def refuse(sent: bytes, statuses: frozenset[int] = BAD, *, after: tuple[Seen, ...] = ()) -> Case:
    """Have nothing reach the upstream except the requests that came `after`, that is before, what is refused."""
    return Case(sent, after, statuses)


def either(
    sent: bytes, *seen: Seen, statuses: frozenset[int] = BAD, absent: frozenset[bytes] = frozenset(), last: bool = False
) -> Case:
    """Have it refused, or else read as `seen` and as nothing else."""
    return Case(sent, seen or (Seen("GET"),), statuses, free=True, absent=absent, last=last)
