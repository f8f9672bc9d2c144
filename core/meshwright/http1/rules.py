"""What fields mean for framing and connection, and how messages are written: functions over bytes, without I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.utils import formatdate
from functools import lru_cache
from ipaddress import IPv6Address
from itertools import product

from meshwright_sdk.errors import DownstreamError, MeshwrightError
from meshwright_sdk.headers import RawHeaders
from meshwright_sdk.hop_by_hop import ENDING_HERE, HOP_BY_HOP
from meshwright_sdk.problems import phrase_of

FRAMING = frozenset((b"connection", b"content-length", b"transfer-encoding"))
"""Fields that whoever writes a message sets anew from its body, whatever a filter put there."""

_WAY = (
    *("forwarded", "x-forwarded-by", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix"),
    *("x-forwarded-proto", "x-forwarded-scheme", "x-forwarded-server", "x-forwarded-ssl", "x-real-ip"),
)
FORWARDED = frozenset(
    "".join(signs).encode("ascii")
    for name in _WAY
    for signs in product(*(("-", "_") if letter == "-" else letter for letter in name))
)
"""Fields that tell the way a request came: believed only from trusted proxies, and upstreams must not read a client's
as ours. Services behind CGI and WSGI cannot tell a hyphen from an underscore in a name."""

_NOT_TO_BE_NAMED = frozenset((b"host", b"content-length", b"content-type", b"authorization", b"cookie"))
_KNOWN_OPTIONS = HOP_BY_HOP | {b"close"}
_MAX_DIGITS = 18
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?)(?::([0-9]{0,5}))?")

MAX_HOST_BYTES = 261
"""A name of 255 bytes and a port (RFC 1035, section 2.3.4)."""

_REMEMBERED_BYTES = 64
"""Longer values are read each time: what is remembered of strangers must not add up."""


class Head:
    """What the fields of one message say about its framing and its connection; nobody changes one that was read.

    `fields` are those that go on; `length` is the Content-Length or None; `options` are the lower-case words of
    `Connection`; `tells_way`: one of `FORWARDED` came; `dated`: Date did. Defaults stand on the class: one is made
    for each message, and most set only `fields`.
    """

    fields: RawHeaders
    length: int | None = None
    chunked: bool = False
    options: frozenset[bytes] = frozenset()
    upgrade: bytes = b""
    host: bytes | None = None
    expects_continue: bool = False
    ends_here: bool = False
    tells_way: bool = False
    dated: bool = False

    @property
    def has_body(self) -> bool:
        """Whether content follows, as far as the head alone tells."""
        return self.chunked or bool(self.length)


REMEMBERED_BYTES = 1024
"""Of the fields of the last message on a connection, which are not read again when the next one has the same."""


def read_head(raw: RawHeaders, error: type[MeshwrightError]) -> Head:
    """Split `raw` (lower-case names) into what goes on and what ends here.

    Raises `error` for framing that recipients could read differently (RFC 9112, sections 6.1 to 6.3) and for
    repeated or odd `Host` fields (RFC 9112, section 3.2).
    """
    head = Head()
    for name, value in raw:
        reader = _reader_of(name)
        if reader is not None:
            reader(head, value, error)
    if head.chunked and head.length is not None:
        raise error("framing: expected Content-Length or Transfer-Encoding; got both")
    if head.ends_here:
        dropped = ENDING_HERE
        if head.options and not head.options <= _KNOWN_OPTIONS:
            dropped = dropped | (head.options - _NOT_TO_BE_NAMED)
        head.fields = [field for field in raw if field[0] not in dropped]
    else:
        head.fields = raw
    return head


def _no_fields() -> Head:
    head = Head()
    head.fields = []
    return head


NO_FIELDS = _no_fields()
"""What a message without any field says."""


def _read_length(head: Head, value: bytes, error: type[MeshwrightError]) -> None:
    if head.length is not None or not value.isdigit() or len(value) > _MAX_DIGITS:
        raise error(f"content-length: expected one whole number; got {value[:40]!r} or several")
    head.length = int(value)


def _read_coding(head: Head, value: bytes, error: type[MeshwrightError]) -> None:
    if head.chunked or value.strip(b" \t").lower() != b"chunked":
        raise error(f"transfer-encoding: expected chunked alone; got {value[:40]!r} or several")
    head.chunked = head.ends_here = True


def _read_connection(head: Head, value: bytes, error: type[MeshwrightError]) -> None:
    head.ends_here = True
    words = _known_words(value) if len(value) <= _REMEMBERED_BYTES else _words(value)
    head.options = head.options | words if head.options else words


def _words(value: bytes) -> frozenset[bytes]:
    """Return the lower-case words of a comma-separated list."""
    return frozenset(word for part in value.split(b",") if (word := part.strip(b" \t").lower()))


_known_words = lru_cache(maxsize=256)(_words)


def _read_host(head: Head, value: bytes, error: type[MeshwrightError]) -> None:
    if head.host is not None:
        raise error("host: expected one field; got several")
    head.host = value


def _read_upgrade(head: Head, value: bytes, error: type[MeshwrightError]) -> None:
    head.ends_here = True
    head.upgrade = value.strip(b" \t").lower()


def _read_expect(head: Head, value: bytes, error: type[MeshwrightError]) -> None:
    head.ends_here = True
    if not issubclass(error, DownstreamError):
        return  # in a response it means nothing
    if value.lower() != b"100-continue":
        raise error(f"expect: expected 100-continue; got {value[:40]!r}", status=417)
    head.expects_continue = True


def _drop(head: Head, value: bytes, error: type[MeshwrightError]) -> None:
    head.ends_here = True


def _refuse_alias(head: Head, value: bytes, error: type[MeshwrightError]) -> None:
    raise error("framing: expected no names with an underscore, which some recipients read as a hyphen")


def _read_way(head: Head, value: bytes, error: type[MeshwrightError]) -> None:
    head.tells_way = True


def _read_date(head: Head, value: bytes, error: type[MeshwrightError]) -> None:
    head.dated = True


_READERS = {
    **dict.fromkeys(ENDING_HERE, _drop),
    **dict.fromkeys(FORWARDED, _read_way),
    b"content-length": _read_length,
    b"content_length": _refuse_alias,
    b"transfer_encoding": _refuse_alias,
    b"transfer-encoding": _read_coding,
    b"connection": _read_connection,
    b"host": _read_host,
    b"upgrade": _read_upgrade,
    b"expect": _read_expect,
    b"date": _read_date,
}


_reader_of = _READERS.get


@lru_cache(maxsize=4096)
def host_name(value: bytes) -> str:
    """Return the lower-case name of a Host field's value; raises DownstreamError (RFC 9110, sections 4.2.1 and 7.2).

    It comes without port, and without the last dot that a name may have in the DNS. Names are of letters, digits,
    hyphens and underscores: what else a URL could have there is in no real name, and could be read in two ways.
    """
    match = _HOST.fullmatch(value) if len(value) <= MAX_HOST_BYTES else None
    if match is None or (match.group(2) and not 0 < int(match.group(2)) <= 65535):
        raise _bad_host(value)
    name = match.group(1).decode("ascii").lower()
    if name[0] == "[":
        try:
            IPv6Address(name[1:-1])
        except ValueError:
            raise _bad_host(value) from None
    return name.removesuffix(".")


def _bad_host(value: bytes) -> DownstreamError:
    return DownstreamError(f"host: expected a name and maybe a port; got {value[:80]!r}")


STATUS_LINES = {status: f"HTTP/1.1 {status} {phrase_of(status)}".encode("ascii") for status in range(100, 1000)}
"""The status line of every status code, whatever the upstream's reason phrase was."""


@lru_cache(maxsize=1)
def date_at(second: int) -> bytes:
    """Return the value of Date in that second of Unix time; made once for all the messages in it."""
    return formatdate(second, usegmt=True).encode("ascii")


def write_message(
    start: bytes, fields: Sequence[tuple[bytes, bytes]], more: Sequence[bytes] = (), content: bytes = b""
) -> bytes:
    """Return a head and the content that leaves with it: the first line, `fields`, and `more`, which is lines.

    What `fields` say of the framing is left out.
    """
    return b"\r\n".join((start, *_lines_of(fields), *more, b"", content))


def _lines_of(fields: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    return [b": ".join(field) for field in fields if field[0] not in FRAMING]


class MessageWriter:
    """Writes the messages of one connection as `write_message` does; fields that repeat earlier ones are there.

    Those in front which are alike from message to message are kept as they are written: what differs, such as the id
    of a request, nearly always stands behind them, where filters put it. One message of another kind, such as a
    refusal among answers, changes nothing of what is kept; a second one in a row does.
    """

    __slots__ = ("_alike", "_lines", "_strange")

    def __init__(self) -> None:
        self._alike: RawHeaders = []
        self._lines = b""
        self._strange = True  # the last message was not like those before

    def write(self, start: bytes, fields: RawHeaders, more: Sequence[bytes], content: bytes) -> bytes:
        alike = self._alike
        if alike and fields == alike:
            self._strange = False
            return b"\r\n".join((start, self._lines, *more, b"", content))
        if not alike or fields[: len(alike)] != alike:
            if not self._strange:
                self._strange = True
                return write_message(start, fields, more, content)
            alike = self._learn(fields)
            if not alike:
                return write_message(start, fields, more, content)
        self._strange = False
        return b"\r\n".join((start, self._lines, *_lines_of(fields[len(alike) :]), *more, b"", content))

    def _learn(self, fields: RawHeaders) -> RawHeaders:
        """Keep what was kept and still is alike, or all of the fields where that is little; return what is kept."""
        number = next(
            (place for place, (one, other) in enumerate(zip(self._alike, fields, strict=False)) if one != other), 0
        )
        # A copy, for whoever has the fields may change them afterwards.
        kept = fields[:number] if 2 * number >= len(fields) else fields.copy()
        lines = b"\r\n".join(_lines_of(kept))
        self._alike, self._lines = (kept, lines) if 0 < len(lines) <= REMEMBERED_BYTES else ([], b"")
        return self._alike


def keeps_alive(head: Head, version: str) -> bool:
    """Return whether the other end wants its connection to stay open (RFC 9112, section 9.3)."""
    if b"close" in head.options:
        return False
    return version == "1.1" or b"keep-alive" in head.options


def has_no_body(method: str, status: int) -> bool:
    """Return whether a response never has content (RFC 9112, section 6.3)."""
    return method == "HEAD" or status == 204 or status == 304 or status < 200


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of the chunked coding (RFC 9112, section 7.1); `data` is not empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: RawHeaders) -> bytes:
    """Return the end of the chunked coding, with the fields that follow the content."""
    return write_message(b"0", trailers)


_NOT_IN_TRAILERS = (
    ENDING_HERE
    | FRAMING
    | FORWARDED
    | _NOT_TO_BE_NAMED
    | frozenset(
        (
            b"age",
            b"cache-control",
            b"content-encoding",
            b"content-range",
            b"date",
            b"expires",
            b"location",
            b"max-forwards",
            b"pragma",
            b"proxy-authenticate",
            b"proxy-authorization",
            b"range",
            b"retry-after",
            b"set-cookie",
            b"vary",
            b"via",
            b"warning",
            b"www-authenticate",
        )
    )
)
"""What decides about framing, routing, authentication or content comes too late there (RFC 9110, section 6.5.1)."""


def trailers_of(fields: RawHeaders, head: Head) -> RawHeaders:
    """Return the trailer fields that go on; what `Connection` names in the message's head does not."""
    if not fields:
        return fields
    ends_here = head.options | _NOT_IN_TRAILERS if head.options else _NOT_IN_TRAILERS
    return [field for field in fields if field[0] not in ends_here and not field[0].startswith(b"x-forwarded-")]
