"""What answers are stored under, and what a change at the service makes invalid; storing goes elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from meshwright_sdk import Key, Request, Response


class Keys:
    """The key of a request: its URL, or what the option says, and its route where routes share one cache."""

    __slots__ = ("_key", "_shared")

    def __init__(self, key: Key | None, *, shared: bool) -> None:
        self._key = key
        self._shared = shared

    def of(self, request: Request) -> str:
        """Return the key; it begins with the URL, unless there is an option."""
        text = self._key.of(request) if self._key is not None else _url(request)
        if not self._shared or request.route is None:
            return text
        return f"{text} {request.route.name}"

    def changed(self, request: Request, response: Response) -> Iterator[str]:
        """Yield the keys of what is not to be used any more after an unsafe request (RFC 9111, section 4.4)."""
        key = self.of(request)
        yield key
        if self._key is not None:
            return
        for name, value in response.headers.raw:
            if name in (b"location", b"content-location"):
                own = _url(request)
                other = _on_same_host(own, value.decode("latin-1"))
                if other is not None:
                    yield other + key[len(own) :]


def _url(request: Request) -> str:
    authority = request.headers.get_bytes(b"host")
    host = authority.decode("latin-1").lower() if authority else request.host
    query = request.query
    return f"{request.scheme}://{host}{request.path}?{query}" if query else f"{request.scheme}://{host}{request.path}"


def _on_same_host(own: str, reference: str) -> str | None:
    """Return the URL that is referred to, or None for one of another host, which nobody may speak for."""
    try:
        here, there = urlsplit(own), urlsplit(urljoin(own, reference))
    except ValueError:
        return None
    if (there.scheme, there.netloc.lower()) != (here.scheme, here.netloc):
        return None
    return there._replace(netloc=here.netloc, fragment="").geturl()
