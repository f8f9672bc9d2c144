"""Rules about TLS, on the plain data: which keys go together, and whether the files hold what they should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from meshwright.config.document import Document
from meshwright.config.problems import KeyPath, Problem, listed
from meshwright.net.pem_files import authorities_fault, pair_fault

Section = tuple[KeyPath, dict[str, Any]]


def listener_tls_is_whole(document: Document) -> Iterator[Problem]:
    for path, tls in _sections(document.get("listeners"), "listeners"):
        both = [key for key in ("certificate", "certificates") if tls.get(key)]
        if len(both) != 1:
            yield document.problem(path, "certificate or certificates", listed(both, "and") if both else "neither")
        yield from _needs(document, path, tls, "key", "certificate")
        yield from _needs(document, path, tls, "client_certificate", "client_ca")
        yield from _authorities(document, path, tls, "client_ca")
        yield from _pair(document, path, tls)
        for index, pair in enumerate(_list(tls.get("certificates"))):
            if isinstance(pair, dict):
                yield from _pair(document, (*path, "certificates", index), pair)


def service_tls_is_whole(document: Document) -> Iterator[Problem]:
    for path, tls in _sections(document.get("services"), "services"):
        yield from _needs(document, path, tls, "key", "certificate")
        yield from _authorities(document, path, tls, "ca")
        yield from _pair(document, path, tls)


def only_files_have_modes(document: Document) -> Iterator[Problem]:
    for index, listener in enumerate(_list(document.get("listeners"))):
        if isinstance(listener, dict) and listener.get("mode") is not None:
            bind = listener.get("bind")
            if isinstance(bind, str) and not bind.startswith("unix:"):
                yield document.problem(("listeners", index, "mode"), "a mode where bind is unix:/path alone")


def _needs(document: Document, path: KeyPath, tls: dict[str, Any], key: str, other: str) -> Iterator[Problem]:
    if tls.get(key) is not None and tls.get(other) is None:
        yield document.problem((*path, key), f"{other} beside it", "none")


def _pair(document: Document, path: KeyPath, pair: dict[str, Any]) -> Iterator[Problem]:
    certificate, key = pair.get("certificate"), pair.get("key")
    if not isinstance(certificate, str) or not isinstance(key, str | None):
        return
    if any(document.is_unresolved((*path, each)) for each in ("certificate", "key")):
        return
    fault = pair_fault(_file(document, certificate), None if key is None else _file(document, key))
    if fault is not None:
        place = fault.file if key is not None else "certificate"
        yield _problem(document, (*path, place), fault.expected, fault.got)


def _authorities(document: Document, path: KeyPath, tls: dict[str, Any], key: str) -> Iterator[Problem]:
    name = tls.get(key)
    if isinstance(name, str) and not document.is_unresolved((*path, key)):
        got = authorities_fault(_file(document, name))
        if got is not None:
            yield _problem(document, (*path, key), "certificates of authorities in PEM", got)


def _problem(document: Document, path: KeyPath, expected: str, got: str | None) -> Problem:
    shown = document.shown(path)
    hint = f"relative paths start at {document.folder}"
    return document.problem(path, expected, f"{shown}: {got}" if got else shown, hint)


def _file(document: Document, name: str) -> Path:
    return document.folder / name


def _sections(value: Any, top: str) -> Iterator[Section]:
    """Yield each `tls` of the listeners or services, with its path."""
    entries = value.items() if isinstance(value, dict) else enumerate(_list(value))
    for key, entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("tls"), dict):
            yield (top, key, "tls"), entry["tls"]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
