"""The one normalisation of request targets: router, filters and upstream see its result; no routing goes in here."""

from __future__ import annotations

import re
from functools import lru_cache

from meshwright_sdk.errors import DownstreamError

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ALLOWED = _UNRESERVED | frozenset(b"!$&'()*+,;=:@/")
_QUERY_ALLOWED = re.compile(rb"[!-~]*")
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})|%")


class BadTargetError(DownstreamError):
    """The request target is not one this gateway forwards."""

    code = "bad_target"


_REMEMBERED_BYTES = 256
"""Longer paths are normalised each time: what is remembered of strangers must not add up."""


def normalise_path(raw: bytes) -> str:
    """Return the path of an origin-form target, percent-encoded, in its one normal form (RFC 3986, section 6.2.2).

    Unreserved characters are decoded, other escapes keep capital digits (so `%2F` stays apart from `/`), bytes
    that need it are encoded, dot segments are resolved. Raises BadTargetError for a broken escape, a NUL, and
    for a path that does not start with a slash or would leave the root.
    """
    return known_path(raw) if len(raw) <= _REMEMBERED_BYTES else _normalise(raw)


def _normalise(raw: bytes) -> str:
    if not raw.startswith(b"/") or b"\0" in raw:
        raise BadTargetError(f"path: expected it to start with a slash and to hold no NUL; got {raw[:40]!r}")
    path = _quote(_ENCODED.sub(_escape, raw))
    return _resolve_dots(path) if "/." in path else path


known_path = lru_cache(maxsize=4096)(_normalise)
"""`normalise_path` for short paths, which come again."""


def split_target(raw: bytes) -> tuple[bytes, bytes]:
    """Return path and query of an origin-form target; raises BadTargetError for a fragment or a bad query."""
    path, _, query = raw.partition(b"?")
    if b"#" in raw or _QUERY_ALLOWED.fullmatch(query) is None:
        raise BadTargetError("target: expected a path and a query of printable ASCII, without fragment")
    return path, query


def _escape(match: re.Match[bytes]) -> bytes:
    digits = match.group(1)
    if digits is None or digits == b"00":
        raise BadTargetError(f"path: expected an escape such as %20; got {match.group()!r}")
    code = int(digits, 16)
    return bytes((code,)) if code in _UNRESERVED else b"%" + digits.upper()


def _quote(raw: bytes) -> str:
    return "".join(chr(byte) if byte in _ALLOWED or byte == 0x25 else f"%{byte:02X}" for byte in raw)


def _resolve_dots(path: str) -> str:
    segments: list[str] = []
    parts = path.split("/")[1:]
    for segment in parts:
        if segment == "..":
            if not segments:
                raise BadTargetError("path: expected dot segments to stay below the root; got more '..' than segments")
            segments.pop()
        elif segment != ".":
            segments.append(segment)
    if parts[-1] in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments)
