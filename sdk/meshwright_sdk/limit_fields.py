"""`LimitFields`: what an answer tells of a limit and of what is left of it; counting goes elsewhere."""

from __future__ import annotations

from math import ceil

from meshwright_sdk.headers import Headers


class LimitFields:
    """The fields RateLimit-Policy and RateLimit of one limit (draft-ietf-httpapi-ratelimit-headers-10).

    `quota` requests are there again in `window_s` seconds. Several limits are several items of both lists.
    """

    __slots__ = ("_item", "_policy")

    def __init__(self, name: str, quota: int, window_s: float) -> None:
        self._item = f'"{name}"'.encode()
        self._policy = b"%b;q=%d;w=%d" % (self._item, quota, ceil(window_s))

    def add(self, headers: Headers, remaining: int, reset_s: float) -> None:
        """Add both fields; `reset_s` is when all is there again."""
        raw = headers.raw
        raw.append((b"ratelimit-policy", self._policy))
        raw.append((b"ratelimit", b"%b;r=%d;t=%d" % (self._item, remaining, ceil(reset_s))))
