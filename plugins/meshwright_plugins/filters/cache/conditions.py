"""The conditions of a client's request, answered from what is stored (RFC 9110, section 13); storing goes elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping

from meshwright_plugins.filters.cache.directives import parse_date
from meshwright_sdk.headers import RawHeaders

CONDITIONS = (b"if-none-match", b"if-modified-since")

NOT_MODIFIED_FIELDS = frozenset(
    (
        b"access-control-allow-credentials",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"cache-control",
        b"content-location",
        b"date",
        b"etag",
        b"expires",
        b"last-modified",
        b"vary",
    )
)
"""What a 304 says of the stored answer (RFC 9110, section 15.4.5), and what a browser needs to hand it on (CORS)."""

_TAGS = re.compile(rb'(?:W/)?("[^"]*")')


def is_current(fields: RawHeaders, noticed: Mapping[bytes, bytes]) -> bool:
    """Return whether the client has what is stored: by its entity tags, or by its date where it sends none."""
    tags = noticed.get(b"if-none-match")
    if tags is not None:
        own = _value(fields, b"etag")
        return tags.strip() == b"*" or (own is not None and own.removeprefix(b"W/") in _TAGS.findall(tags))
    since = noticed.get(b"if-modified-since")
    modified = _value(fields, b"last-modified") if since is not None else None
    if since is None or modified is None:
        return False
    if since == modified:
        return True
    then, own_date = parse_date(since), parse_date(modified)
    return then is not None and own_date is not None and own_date <= then


def _value(fields: RawHeaders, name: bytes) -> bytes | None:
    for field, value in fields:
        if field == name:
            return value
    return None
