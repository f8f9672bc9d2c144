"""`Answer`: a stored response, whether it may be given, and giving it; where it is stored goes elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import inf

from meshwright_plugins.filters.cache.conditions import NOT_MODIFIED_FIELDS, is_current
from meshwright_plugins.filters.cache.directives import Directives, seconds
from meshwright_plugins.filters.cache.terms import Terms
from meshwright_sdk import Body, Headers, Response
from meshwright_sdk.headers import RawHeaders

OVERHEAD_BYTES = 1024
"""What an answer is taken to need beside its fields and its content."""
NOT_STORED = frozenset((b"age", b"set-cookie", b"cache-status"))
_KEPT_AT_304 = frozenset((b"content-length", b"content-encoding", b"content-type", b"content-range")) | NOT_STORED
"""Fields that a 304 does not change: they say of the content how it was stored (RFC 9111, section 3.2)."""


class Use(Enum):
    """What may be done with a stored answer."""

    FRESH = "fresh"
    STALE = "stale"
    WHILE = "stale while it is asked about"
    ASK = "only after it was asked about"


class Answer:
    """A stored response. `born` is when its age was 0, in seconds of the shelf's clock, and `kept_at` when it came.

    `names` are the request's fields that it depends on, and `values` what the request had there.
    """

    __slots__ = ("born", "data", "ends", "fields", "kept_at", "names", "size", "status", "terms", "values")

    def __init__(  # noqa: PLR0913 - it is made in two places, of these parts
        self,
        status: int,
        fields: RawHeaders,
        data: bytes,
        terms: Terms,
        *,
        kept_at: float,
        names: tuple[bytes, ...] = (),
        values: bytes = b"",
    ) -> None:
        self.status = status
        self.fields = fields
        self.data = data
        self.terms = terms
        self.names = names
        self.values = values
        self.kept_at = kept_at
        self.born = kept_at - terms.age_s
        self.ends = self.born + (terms.lifetime_s or 0)
        self.size = OVERHEAD_BYTES + len(data) + sum(len(name) + len(value) + 64 for name, value in fields)

    @property
    def is_fresh_for_a_while(self) -> bool:
        """Whether it could be given without asking, when it came."""
        return not self.terms.validated and self.ends > self.kept_at

    def use(self, now: float, asked: Directives) -> Use:
        """Return what may be done with it, for a client that said `asked` (RFC 9111, sections 4.2 and 5.2.1)."""
        left = self.ends - now
        if self.terms.validated:
            return Use.ASK
        if asked:
            limited = self._limited(now, left, asked)
            if limited is not None:
                return limited
        if left > 0:
            return Use.FRESH
        return Use.WHILE if -left < self.terms.stale_while_s else Use.ASK

    def _limited(self, now: float, left: float, asked: Directives) -> Use | None:
        """Return what the client's own words come to, or None where they change nothing."""
        if "no-cache" in asked:
            return Use.ASK
        if "max-age" in asked and now - self.born > seconds(asked["max-age"]):
            return Use.ASK
        if "min-fresh" in asked and left < seconds(asked["min-fresh"]):
            return Use.ASK
        if "max-stale" in asked and left <= 0 and not self.terms.strict:
            longest = seconds(asked["max-stale"]) if asked["max-stale"] else inf
            return Use.STALE if -left <= longest else None
        return None

    def stands_in(self, now: float) -> bool:
        """Return whether it may be given in place of an error (RFC 5861, section 4)."""
        return now - self.ends < self.terms.stale_if_error_s

    def validators(self) -> RawHeaders:
        """Return the fields of a request that asks whether it is still right (RFC 9111, section 4.3.1)."""
        fields: RawHeaders = []
        for name, condition in ((b"etag", b"if-none-match"), (b"last-modified", b"if-modified-since")):
            value = _first(self.fields, name)
            if value is not None:
                fields.append((condition, value))
        return fields

    def is_meant_by(self, raw: RawHeaders) -> bool:
        """Return whether a 304 with these fields speaks of this answer (RFC 9111, section 4.3.4)."""
        etag, own = _first(raw, b"etag"), _first(self.fields, b"etag")
        return etag is None or own is None or etag.removeprefix(b"W/") == own.removeprefix(b"W/")

    def updated_by(self, raw: RawHeaders) -> RawHeaders:
        """Return its fields with those of a 304 in their place (RFC 9111, section 3.2)."""
        new = [field for field in raw if field[0] not in _KEPT_AT_304]
        names = {b"date"} | {name for name, _ in new}  # a 304 without Date is of now (RFC 9110, section 6.6.1)
        return [field for field in self.fields if field[0] not in names] + new

    def give(self, method: str, noticed: Mapping[bytes, bytes], now: float, note: bytes) -> Response:
        """Return it as the answer to a request, or that it is not modified; `note` is what Cache-Status says."""
        age = (b"age", b"%d" % max(0.0, now - self.born))
        if noticed and self.status == 200 and is_current(self.fields, noticed):
            fields = [field for field in self.fields if field[0] in NOT_MODIFIED_FIELDS]
            return Response(304, Headers.from_raw([*fields, age, (b"cache-status", note)]))
        raw = [*self.fields, age, (b"cache-status", note)]
        return Response(self.status, Headers.from_raw(raw), Body(self.data if method != "HEAD" else b""))


def stored_fields(raw: RawHeaders) -> RawHeaders:
    """Return the fields of a response that are stored with it."""
    return [field for field in raw if field[0] not in NOT_STORED]


def _first(raw: RawHeaders, name: bytes) -> bytes | None:
    for field, value in raw:
        if field == name:
            return value
    return None
