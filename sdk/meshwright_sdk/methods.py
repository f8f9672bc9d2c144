"""Methods as options name them, and what they promise; nothing is decided about requests in here."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from meshwright_sdk.tokens import TOKEN

SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
"""The methods that ask for nothing to be changed (RFC 9110, section 9.2.1)."""

IDEMPOTENT = (*SAFE, "PUT", "DELETE")
"""The methods whose requests may be made more than once (RFC 9110, section 9.2.2)."""


def _method(text: str) -> str:
    if TOKEN.fullmatch(text) is None or text != text.upper():
        raise ValueError(f"expected a method in capitals, such as POST; got {text!r}")
    return text


Method = Annotated[str, AfterValidator(_method)]
"""A method as an option's type; they are told apart by case (RFC 9110, section 9.1)."""
