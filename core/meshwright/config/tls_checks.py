"""Rules about TLS, on the plain data: which keys go together, and whether the files hold what they should."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from meshwright.config.document import Document
from meshwright.config.problems import KeyPath, Problem, listed
from meshwright.config.sections import Section, mapping, mappings, values
from meshwright.net.pem_files import authorities_fault, pair_fault


def listener_tls_is_whole(document: Document) -> Iterator[Problem]:
    for path, tls in _tls_of(mappings(document.get("listeners"), ("listeners",))):
        both = [key for key in ("certificate", "certificates") if tls.get(key)]
        if len(both) != 1:
            yield document.problem(path, "certificate or certificates", listed(both, "and") if both else "neither")
        elif tls.get("certificates") == []:
            yield document.problem((*path, "certificates"), "no certificates beside certificate, or one or more")
        yield from _needs(document, path, tls, "key", "certificate")
        yield from _needs(document, path, tls, "client_certificate", "client_ca")
        yield from _authorities(document, path, tls, "client_ca")
        yield from _pair(document, path, tls)
        for place, pair in mappings(tls.get("certificates"), (*path, "certificates")):
            yield from _pair(document, place, pair)


def service_tls_is_whole(document: Document) -> Iterator[Problem]:
    for path, tls in _tls_of(values(document.get("services"), ("services",))):
        yield from _needs(document, path, tls, "key", "certificate")
        yield from _authorities(document, path, tls, "ca")
        yield from _pair(document, path, tls)


def _tls_of(sections: Iterable[Section]) -> Iterator[Section]:
    for path, section in sections:
        yield from mapping(section.get("tls"), (*path, "tls"))


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
