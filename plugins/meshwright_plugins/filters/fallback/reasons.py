"""Why a request is degraded: from errors to the words of the options; doing it goes elsewhere."""

from __future__ import annotations

from typing import Literal, get_args

from meshwright_sdk import CircuitOpenError, OverloadError, UpstreamError, UpstreamTimeoutError

Word = Literal["open", "failed", "timeout", "shed"]
WORDS: tuple[Word, ...] = get_args(Word)


def reason_of(error: Exception) -> Word | None:
    """Return the word for what the rest of the chain raised, or None for what is nobody's business but the client's."""
    if isinstance(error, CircuitOpenError):
        return "open"
    if isinstance(error, OverloadError):
        return "shed"
    if isinstance(error, UpstreamTimeoutError):
        return "timeout"
    return "failed" if isinstance(error, UpstreamError) else None
