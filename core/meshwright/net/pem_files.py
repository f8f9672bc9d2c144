"""Certificates, keys and authorities from PEM files, and what is wrong with them; their use goes elsewhere."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from meshwright.net.certificate import Certificate, read_certificate

SOON_S = 14 * 86_400.0
"""A certificate that expires within this time is warned of."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a pair of files: in `certificate` or `key`, what was expected and, where known, what came."""

    file: str
    expected: str
    got: str | None = None


def load_pair(context: ssl.SSLContext, certificate: Path, key: Path | None) -> Certificate:
    """Have the context show a certificate, and return what it says; the key may be in the certificate's file.

    Raises OSError (ssl.SSLError is one) and ValueError.
    """
    about = read_certificate(certificate.read_text("utf-8", "replace"))
    context.load_cert_chain(certificate, key, password=_refuse_passphrase)
    return about


def _refuse_passphrase() -> str:
    raise ValueError("expected a private key without a passphrase")  # else OpenSSL would ask at the terminal


def pair_fault(certificate: Path, key: Path | None) -> Fault | None:
    """Return what is wrong with a certificate and its key, or None when they can be used."""
    for name, file in (("certificate", certificate), ("key", key or certificate)):
        unreadable = _unreadable(file)
        if unreadable is not None:
            return Fault(name, "a file that can be read", unreadable)
    try:
        read_certificate(certificate.read_text("utf-8", "replace"))
    except ValueError as error:
        expected, _, got = str(error).removeprefix("expected ").partition("; got ")
        return Fault("certificate", expected, got)
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key)
    except ssl.SSLError as error:
        return _openssl_fault(error)
    except ValueError:
        return Fault("key", "a private key without a passphrase")
    return None


def _unreadable(file: Path) -> str | None:
    try:
        file.read_bytes()
    except OSError as error:
        return error.strerror or str(error)
    except ValueError:
        return "no name of a file"
    return None


def _openssl_fault(error: ssl.SSLError) -> Fault:
    reason = error.reason or ""
    if reason == "KEY_VALUES_MISMATCH":
        return Fault("key", "the private key of the certificate", "the key of another one")
    if "TOO_" in reason:  # EE_KEY_TOO_SMALL, CA_MD_TOO_WEAK
        return Fault("certificate", "a certificate that OpenSSL takes", reason)
    return Fault("key", "a private key in PEM")


def authorities_fault(file: Path) -> str | None:
    """Return what came in place of certificates of authorities, or None when they can be used."""
    unreadable = _unreadable(file)
    if unreadable is not None:
        return unreadable
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        return "none"
    return None
