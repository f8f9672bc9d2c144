"""Where a proxy refuses what the gateway accepts, and why that is harmless; reading it differently never is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.core.http1.corpus.case import Seen

ENVOYS_METHODS = frozenset(
    (
        *("ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD"),
        *("LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "MSEARCH"),
        *("NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT"),
        *("REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK"),
        *("UNLOCK", "UNSUBSCRIBE"),
    )
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What one proxy does not pass on, though RFC 9112 would let it."""

    proxy: str
    reason: str
    applies: Callable[[Seen], bool]


REFUSALS = (
    Refusal("nginx", "answers 400 to OPTIONS *", lambda seen: seen.target == "*"),
    Refusal(
        "nginx",
        "takes methods of capital letters, - and _ alone",
        lambda seen: re.fullmatch("[A-Z_-]+", seen.method) is None,
    ),
    Refusal("nginx", "wants a name in Host", lambda seen: (seen.host or "").partition(":")[0] == ""),
    Refusal("envoy", "has no route for OPTIONS *", lambda seen: seen.target == "*"),
    Refusal("envoy", "takes the methods it knows", lambda seen: seen.method not in ENVOYS_METHODS),
)


def unexplained(proxy: str, meant: Sequence[Seen], saw: Sequence[Seen]) -> str:
    """Return what differs between the gateway's requests and the proxy's beyond what is known; "" for nothing.

    A request that the proxy refuses may end its connection, so that those behind it are missing too.
    """
    left = list(saw)
    refused = False
    for request in meant:
        if left and left[0] == request:
            left.pop(0)
        elif any(each.proxy == proxy and each.applies(request) for each in REFUSALS):
            refused = True
        elif not refused:
            return f"{proxy}: expected {request}; got {left[:1] or 'nothing'}"
    return f"{proxy}: expected nothing more; got {left}" if left else ""
