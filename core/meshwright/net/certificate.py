"""`Certificate`: what the gateway has to know of an X.509 certificate; whether it can be trusted is OpenSSL's matter.

The standard library tells these things only of a certificate that a peer has shown and that was verified, so the few
fields are read here: the structure is DER (X.690), the fields are those of RFC 5280, section 4.1.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _OID = 0x30, 0x06
_UTC_TIME, _VERSION, _EXTENSIONS, _DNS_NAME = 0x17, 0xA0, 0xA3, 0x82
_COMMON_NAME = b"\x55\x04\x03"
_SUBJECT_ALT_NAME = b"\x55\x1d\x11"

Element = tuple[int, bytes]
"""A tag and the content under it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """`names` are the DNS names it is for, in lower case, wildcards as `*.example.com`; `not_after` is in Unix time."""

    names: tuple[str, ...]
    not_after: float


def read_certificate(pem: str) -> Certificate:
    """Return the first certificate of a PEM text, which is the one that a chain is about; raises ValueError."""
    block = _PEM.search(pem)
    if block is None:
        raise ValueError("expected a certificate in PEM; got none")
    try:
        return _certificate(ssl.PEM_cert_to_DER_cert(block[0]))
    except (ValueError, IndexError) as error:
        raise ValueError("expected a certificate in PEM; got one that is damaged") from error


def _certificate(der: bytes) -> Certificate:
    to_be_signed = _inside(_inside(_elements(der), _SEQUENCE), _SEQUENCE)
    fields = [each for each in to_be_signed if each[0] != _VERSION]
    _, not_after = _elements(fields[3][1])
    extensions = next((content for tag, content in fields if tag == _EXTENSIONS), b"")
    names = tuple(_alternative_names(extensions)) or tuple(_common_names(fields[4][1]))
    return Certificate(names=names, not_after=_time(not_after))


def _inside(elements: list[Element], tag: int) -> list[Element]:
    """Return what is inside the first element, which has to be of that tag."""
    if elements[0][0] != tag:
        raise ValueError(f"expected tag {tag:#x}; got {elements[0][0]:#x}")
    return _elements(elements[0][1])


def _elements(data: bytes) -> list[Element]:
    found = []
    while data:
        tag, length, start = data[0], data[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[2:start], "big")
        if len(data) < start + length:
            raise ValueError("expected more bytes")
        found.append((tag, data[start : start + length]))
        data = data[start + length :]
    return found


def _alternative_names(extensions: bytes) -> Iterator[str]:
    for _, extension in _inside(_elements(extensions), _SEQUENCE) if extensions else ():
        parts = _elements(extension)  # an identifier, perhaps whether it is critical, and its value
        if parts[0] == (_OID, _SUBJECT_ALT_NAME):
            for tag, name in _inside(_elements(parts[-1][1]), _SEQUENCE):
                if tag == _DNS_NAME:
                    yield name.decode("ascii").lower()


def _common_names(subject: bytes) -> Iterator[str]:
    """Yield the names of a certificate that is too old to have alternative ones."""
    for _, attributes in _elements(subject):
        for _, attribute in _elements(attributes):
            kind, value = _elements(attribute)
            if kind == (_OID, _COMMON_NAME):
                yield value[1].decode("utf-8").lower()


def _time(element: Element) -> float:
    tag, text = element[0], element[1].decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if text < "50" else "19") + text  # RFC 5280, section 4.1.2.5.1
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
