"""`Look`: one request on its way through the cache, and what is known of it; what is done with it goes elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from meshwright_plugins.filters.cache.answer import Answer
from meshwright_plugins.filters.cache.conditions import CONDITIONS
from meshwright_sdk import CallNext, Headers, Request
from meshwright_sdk.headers import RawHeaders

_NOTICED = frozenset(
    (
        b"authorization",
        b"cache-control",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"pragma",
        b"range",
    )
)
_NOTHING: Mapping[bytes, bytes] = {}


def noticed_in(raw: RawHeaders) -> Mapping[bytes, bytes]:
    """Return the fields of a request that mean something to a cache, each as one."""
    found: dict[bytes, bytes] | None = None
    for name, value in raw:
        if name in _NOTICED:
            if found is None:
                found = {}
            found[name] = found[name] + b", " + value if name in found else value
    return found if found is not None else _NOTHING


class Look:
    """A request that nothing stored answers as it is.

    `stored` is what could answer once the service has been asked, and `why` the word of Cache-Status for asking.
    `insists` is whether nothing will do that the service has not confirmed; `passed` whether what the service says is
    not expected to be stored. `identity` is who was known to ask when the request came.
    """

    __slots__ = (
        "began",
        "call_next",
        "identity",
        "insists",
        "key",
        "method",
        "noticed",
        "passed",
        "raw",
        "request",
        "stored",
        "variant",
        "why",
    )

    def __init__(
        self, request: Request, call_next: CallNext, key: str, noticed: Mapping[bytes, bytes], began: float
    ) -> None:
        self.request = request
        self.method = request.method
        self.identity = request.identity
        self.raw = request.headers.raw.copy()  # filters further in may change it
        self.call_next = call_next
        self.key = key
        self.noticed = noticed
        self.began = began
        self.stored: Answer | None = None
        self.why = b"uri-miss"
        self.variant = key
        self.insists = self.passed = False

    @property
    def asks(self) -> bool:
        """Whether the service is asked about what is stored."""
        return self.stored is not None and self.method == "GET"

    @property
    def shares(self) -> bool:
        """Whether one fetch may do for this request and others: not for one that is somebody's own."""
        if self.method != "GET":
            return False
        if self.stored is not None:
            return self.stored.is_fresh_for_a_while
        return b"authorization" not in self.noticed

    def headers(self) -> Headers:
        """Return what the service is asked with: what is to be stored is no answer to the client's own conditions."""
        stored = self.stored if self.asks else None
        if stored is None and (self.passed or self.method != "GET"):
            return self.request.headers
        if stored is None and self.noticed.keys().isdisjoint(CONDITIONS):
            return self.request.headers
        raw = [field for field in self.raw if field[0] not in CONDITIONS]
        return Headers.from_raw(raw + stored.validators() if stored is not None else raw)
