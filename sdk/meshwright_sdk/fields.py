"""Header fields as plugins' options name them; reading and writing messages goes elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from meshwright_sdk.headers import Headers, encode_name, encode_value
from meshwright_sdk.hop_by_hop import ENDING_HERE

CONNECTION_FIELDS = frozenset(name.decode("ascii") for name in ENDING_HERE | {b"content-length"})
"""Names of the fields that belong to one connection or to the framing of one message."""


def settable_name(name: str) -> str:
    """Return `name` in lower case; raises ValueError for what is no name, and for a field of the connection."""
    try:
        lower = encode_name(name).decode("ascii")
    except ValueError:
        raise ValueError(f"expected a header name (RFC 9110, section 5.1); got {name!r}") from None
    if lower in CONNECTION_FIELDS:
        raise ValueError(f"expected a header that the gateway does not write itself; got {lower!r}")
    return lower


def _clean_value(value: str) -> str:
    try:
        return encode_value(value).decode("latin-1")
    except ValueError:
        raise ValueError("expected a header value without control characters, up to U+00FF; got others") from None


def _distinct_names(fields: Any) -> Any:
    """Refuse a name that is given twice, in different case."""
    if isinstance(fields, Mapping):
        seen: dict[str, str] = {}
        for name in fields:
            other = seen.setdefault(str(name).lower(), str(name))
            if other != str(name):
                raise ValueError(f"expected each header once; got {other!r} and {str(name)!r}")
    return fields


HeaderName = Annotated[str, AfterValidator(settable_name)]
"""The name of a header that a plugin may change, in lower case."""

HeaderValue = Annotated[str, AfterValidator(_clean_value)]
"""The value of a header, stripped of outer white space."""

DistinctNames = BeforeValidator(_distinct_names)
"""Marks a mapping as one in which no header comes twice: `Annotated[dict[HeaderName, X], DistinctNames]`."""

HeaderFields = Annotated[dict[HeaderName, HeaderValue], DistinctNames]
"""Headers as an option: a mapping from name to value."""


def add_member(headers: Headers, name: bytes, member: bytes) -> None:
    """Add `member` to the comma-separated list of the field `name`, such as `vary`, unless it is in it already.

    Members compare without case; `name` and `member` are lower-case.
    """
    present = [value for field, value in headers.raw if field == name]
    if not present:
        headers.raw.append((name, member))
        return
    joined = b", ".join(value for value in present if value)
    if member not in [each.strip(b" \t") for each in joined.lower().split(b",")]:
        headers.set_bytes(name, joined + b", " + member if joined else member)
