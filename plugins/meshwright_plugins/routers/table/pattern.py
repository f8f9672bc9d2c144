"""`PathPattern`: what a route's `path` means, for one path at a time; finding it among many goes elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPE = re.compile(r"%(?:([0-9A-Fa-f]{2})|.{0,2})", re.DOTALL)
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_KEPT = "!$&'()*+,;=:@%"


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path of a route, in segments; None stands for a parameter, which takes any segment but an empty one.

    `names` are the parameters' places and names. A prefix takes every path that begins with its segments.
    """

    segments: tuple[str | None, ...]
    names: tuple[tuple[int, str], ...]
    is_prefix: bool

    @property
    def is_exact(self) -> bool:
        """Whether it takes one single path."""
        return not self.names and not self.is_prefix

    @property
    def rank(self) -> tuple[Any, ...]:
        """The smaller, the more specific: exact, then templates, then prefixes from long to short.

        Of equals, the one whose leftmost difference is a literal segment.
        """
        parameters = tuple(segment is None for segment in self.segments)
        if self.is_prefix:
            return (2, -len(self.segments), parameters)
        return (1, parameters) if self.names else (0,)

    def accepts(self, path: str) -> bool:
        """Return whether the pattern takes the normalised `path`."""
        segments = path.split("/")[1:]
        depth = len(self.segments)
        if len(segments) < depth or (len(segments) > depth and not self.is_prefix):
            return False
        return all(
            got == expected if expected is not None else got
            for expected, got in zip(self.segments, segments, strict=False)
        )

    def values(self, path: str) -> dict[str, str]:
        """Return the parameters of an accepted `path`, percent-decoded; a value may hold a slash that was encoded."""
        segments = path.split("/")
        return {name: unquote(segments[place + 1]) for place, name in self.names}


def parse_path(text: str) -> PathPattern:
    """Return the pattern that `text` means; raises ValueError with what was expected and what came."""
    if not text.startswith("/"):
        raise _refused("a path that starts with /", text)
    if "?" in text or "#" in text:
        raise _refused("a path alone (a query is matched by `query`)", text)
    parts = text.split("/")[1:]
    is_prefix = parts[-1] == "*"
    segments = tuple(_segment(part, text) for part in (parts[:-1] if is_prefix else parts))
    names = tuple((place, part[1:-1]) for place, part in enumerate(parts) if part.startswith("{"))
    if len({name for _, name in names}) < len(names):
        raise _refused("each name in braces once", text)
    return PathPattern(segments, names, is_prefix)


def _segment(part: str, text: str) -> str | None:
    if "*" in part:
        raise _refused("* as the whole last segment, as in /orders/*", text)
    if "{" not in part and "}" not in part:
        return _literal(part, text)
    if part[0] != "{" or part[-1] != "}" or _NAME.fullmatch(part[1:-1]) is None:
        raise _refused("a name of letters, digits and _ in braces as a whole segment, as in /users/{id}", text)
    return None


def _literal(part: str, text: str) -> str:
    """Return a segment in the normal form of a request's path (RFC 3986, section 6.2.2), so that they can be equal."""
    if part in (".", ".."):
        raise _refused("no . and .. segments (a request's are resolved before it is routed)", text)
    if any(matched[1] in (None, "00") for matched in _ESCAPE.finditer(part)):
        raise _refused("escapes such as %20, and none of NUL", text)
    return _ESCAPE.sub(_normal, quote(part, safe=_KEPT))


def _normal(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if _UNRESERVED.fullmatch(character) else escape[0].upper()


def _refused(expected: str, text: str) -> ValueError:
    return ValueError(f"path: expected {expected}; got {text!r}")
