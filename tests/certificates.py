"""A certificate authority of the tests' own, and certificates from it as files in PEM; every test trusts only it."""

from __future__ import annotations

import datetime
import ssl
from functools import cache
from pathlib import Path

import trustme


@cache
def authority(name: str) -> trustme.CA:
    """Return the authority of that name; another one's certificates are not trusted by those who trust it."""
    return trustme.CA(organization_name=name)


def write_authority(folder: Path, file: str = "ca.pem", name: str = "tests") -> Path:
    """Write the authority's own certificate, and return the file."""
    path = folder / file
    path.write_bytes(authority(name).cert_pem.bytes())
    return path


def write_certificate(
    folder: Path,
    *names: str,
    stem: str = "shop",
    common_name: str | None = None,
    days: float | None = None,
    by: str = "tests",
) -> tuple[Path, Path]:
    """Write a certificate for the names and its key, as `<stem>.pem` and `<stem>.key`; `days` is how long it lasts."""
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days) if days is not None else None
    issued = authority(by).issue_cert(*(names or ("localhost", "127.0.0.1")), common_name=common_name, not_after=until)
    certificate, key = folder / f"{stem}.pem", folder / f"{stem}.key"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return certificate, key


def trusting(by: str = "tests", *, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """Return a client's context that trusts the authority and, if it has one, shows its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority(by).configure_trust(context)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context
