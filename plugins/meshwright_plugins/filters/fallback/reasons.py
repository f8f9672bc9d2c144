"""Why a request is degraded: from errors and statuses to the words of the options; doing it goes elsewhere."""

from __future__ import annotations

import re

from meshwright_sdk import CircuitOpenError, OverloadError, UpstreamError, UpstreamTimeoutError

WORDS = ("open", "failed", "timeout", "shed")
_STATUS = re.compile(r"[45]([0-9]{2}|xx)")


def check_reason(text: str) -> str:
    """Return a reason as it may be written; raises ValueError for what is none."""
    if text in WORDS or _STATUS.fullmatch(text):
        return text
    raise ValueError(f"expected one of {', '.join(WORDS)}, a status such as 503 or a class such as 5xx; got {text!r}")


def reason_of(error: Exception) -> str | None:
    """Return the word for what the rest of the chain raised, or None for what is nobody's business but the client's."""
    if isinstance(error, CircuitOpenError):
        return "open"
    if isinstance(error, OverloadError):
        return "shed"
    if isinstance(error, UpstreamTimeoutError):
        return "timeout"
    return "failed" if isinstance(error, UpstreamError) else None


def statuses_of(reasons: tuple[str, ...]) -> frozenset[int]:
    """Return the statuses that the reasons name, classes written out."""
    numbers: set[int] = set()
    for reason in reasons:
        if reason.endswith("xx"):
            numbers.update(range(int(reason[0]) * 100, int(reason[0]) * 100 + 100))
        elif reason not in WORDS:
            numbers.add(int(reason))
    return frozenset(numbers)
