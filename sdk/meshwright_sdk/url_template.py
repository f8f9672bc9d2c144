"""`UrlTemplate`: a URL or path of the YAML whose placeholders cannot change what the URL means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from meshwright_sdk.errors import DownstreamError
from meshwright_sdk.template import WORDS, Getter, Template

if TYPE_CHECKING:
    from meshwright_sdk.request import Request

_SHAPE = re.compile(
    r"(?P<origin>(?:https?|\{scheme\})://(?:[A-Za-z0-9.:\[\]-]|\{host\})+)?"
    r"(?P<rest>(?:/(?!/)|\{path\})[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?#\[\]]|%[0-9A-Fa-f]{2})*")
_IN_PATH = "!$&'()*+,;=:@"


class UrlTemplate(Template):
    """An absolute URL (`https://new.example.com{path}`) or a path (`/v2/users/{id}`), with placeholders.

    Values are percent-encoded where they are put in, so that none adds a segment, a parameter or a host; only
    `{path}` in the path and `{query}` in the query go in as the client sent them. In the host only `{host}` may
    stand. `{id}` is a parameter of the route's path. Raises ValueError for what is neither URL nor path;
    `render` raises DownstreamError where a request without a host has none to put in.
    """

    __slots__ = ()

    bare_params = True

    @property
    def absolute(self) -> bool:
        """Whether it says which host is meant."""
        return not self.text.startswith(("/", "{path}"))

    def render(self, request: Request) -> str:
        """Return the URL for `request`; a path never starts with two slashes, which would name a host."""
        url = super().render(request)
        if not self.absolute and url[1:2] in ("/", "\\"):
            return "/" + url.lstrip("/\\")
        return url

    def _pieces(self, text: str) -> Iterator[str | Getter]:
        shape = _SHAPE.fullmatch(text)
        if shape is None or not (shape["origin"] or shape["rest"]):
            raise ValueError(f"expected http://, https:// or a path that starts with one slash; got {text!r}")
        in_query = False
        for piece in super()._pieces(text):
            if isinstance(piece, str):
                if _LITERAL.fullmatch(piece) is None:
                    raise ValueError(f"expected a URL with everything else percent-encoded; got {piece!r}")
                in_query = in_query or "?" in piece or "#" in piece
                yield piece
            else:
                yield _encoded(piece, in_query=in_query)


def _encoded(get: Getter, *, in_query: bool) -> Getter:
    """Return `get` with its values made fit for their place in the URL."""
    if get is WORDS["query" if in_query else "path"] or get is WORDS["scheme"]:
        return get
    if get is WORDS["host"] and not in_query:
        return _host
    safe = "" if in_query else _IN_PATH
    return lambda request: quote(get(request), safe=safe, errors="replace")


def _host(request: Request) -> str:
    host = request.host
    if not host:
        raise DownstreamError("host: expected the request to name one; got none")
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
