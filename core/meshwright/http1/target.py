"""The one normalisation of request targets: router, filters and upstream see its result; no routing goes in here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Literal

from meshwright_sdk.errors import DownstreamError

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ALLOWED = _UNRESERVED | frozenset(b"!$&'()*+,;=:@/")
_QUERY_ALLOWED = re.compile(rb"[!-~]*")
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})|%")
_SLASHES = re.compile(r"//+")
_HIDDEN_DOTS = re.compile(r"(?:/|%2F|%5C)\.\.?(?=/|%2F|%5C|;|%3B|$)")
"""A dot segment for whoever decodes slashes, takes backslashes for them, or cuts parameters off a segment."""

_USUAL = re.compile(rb"(?:/(?![/.])[A-Za-z0-9\-._~!$&'()*+,;=:@]*)+")
"""A path that is in its normal form: nothing is encoded, no segment is empty or begins with a dot; the last may end."""

_SLASH = "%2F"
_BACKSLASH = "%5C"

REMEMBERED_BYTES = 256
"""Longer paths are normalised each time: what is remembered of strangers must not add up."""


class BadTargetError(DownstreamError):
    """The request target is not one this gateway forwards."""

    code = "bad_target"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRules:
    """What a listener does to paths beyond what always happens.

    Defaults are the safe ones: two slashes are one, as many services read them; an encoded slash and a backslash
    (`%2F`, `%5C`) are no separators and go on as they are, encoded.
    """

    merge_slashes: bool = True
    encoded_slash: Literal["keep", "refuse", "decode"] = "keep"
    backslash: Literal["keep", "refuse", "slash"] = "keep"


DEFAULT_RULES = PathRules()


class Normaliser:
    """Brings the path of an origin-form target into its one normal form, percent-encoded (RFC 3986, section 6.2.2).

    Unreserved characters are decoded, other escapes get capital digits, bytes that need it are encoded, slashes are
    treated by the rules, dot segments are resolved. Raises BadTargetError for what the rules refuse, a broken escape,
    a NUL, a dot segment behind an encoded slash, a backslash or before a semicolon, and for a path that does not start
    with a slash or would leave the root. `known` remembers what it made of short paths, which come again.
    """

    __slots__ = ("known", "unknown")

    def __init__(self, rules: PathRules) -> None:
        self.unknown = partial(_normalise, rules)
        self.known = lru_cache(maxsize=4096)(self.unknown)

    def __call__(self, raw: bytes) -> str:
        return self.known(raw) if len(raw) <= REMEMBERED_BYTES else self.unknown(raw)


@cache  # a dozen sets of rules are possible
def normaliser(rules: PathRules) -> Normaliser:
    """Return the one normaliser of these rules; listeners with the same rules share what it remembers."""
    return Normaliser(rules)


def _normalise(rules: PathRules, raw: bytes) -> str:
    return raw.decode("ascii") if _USUAL.fullmatch(raw) is not None else _normalise_unusual(rules, raw)


def _normalise_unusual(rules: PathRules, raw: bytes) -> str:
    if not raw.startswith(b"/") or b"\0" in raw:
        raise BadTargetError(f"path: expected it to start with a slash and to hold no NUL; got {raw[:40]!r}")
    path = _quote(_ENCODED.sub(_escape, raw))
    if _SLASH in path:
        path = _separated(path, _SLASH, rules.encoded_slash)
    if _BACKSLASH in path:
        path = _separated(path, _BACKSLASH, rules.backslash)
    if rules.merge_slashes and "//" in path:
        path = _SLASHES.sub("/", path)
    if "/." in path:
        path = _resolve_dots(path)
    if "." in path and _HIDDEN_DOTS.search(path) is not None:
        raise BadTargetError(f"path: expected no dot segment that only some servers see; got {raw[:80]!r}")
    return path


def _separated(path: str, escape: str, rule: str) -> str:
    """Treat by `rule` an escape that some take for a slash."""
    if rule == "refuse":
        raise BadTargetError(f"path: expected none with {escape} (refused by the listener's `path`); got {path[:80]!r}")
    return path if rule == "keep" else path.replace(escape, "/")


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
