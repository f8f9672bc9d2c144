"""`Split`: one route's traffic shared among several services by weight; balancing inside a service goes elsewhere."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from meshwright.config.model import RouteConfig, StickyConfig
from meshwright_sdk.filters import CallNext
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.weights import SmoothWeights, effective_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One service of a split: P = weight / sum of the weights is its share."""

    service: str
    weight: int
    call: CallNext


class Split:
    """Shares requests among services: exact shares in turn, or the same service for the same client.

    With `cookie`, the first answer sets a cookie that names the service, and a request that carries it goes
    there. With `header`, equal values go to equal services, by hash; without the header the turn decides.
    """

    def __init__(self, targets: Sequence[Target], *, cookie: str = "", header: str = "") -> None:
        self._targets = tuple(targets)
        self._weights = effective_weights([target.weight for target in targets])
        self._turn = SmoothWeights(self._weights)
        weighed = zip(targets, self._weights, strict=True)
        self._by_name = {target.service: target for target, weight in weighed if weight > 0}
        self._total = sum(self._weights)
        self._cookie = cookie
        self._header = header.lower().encode("ascii")

    async def __call__(self, request: Request) -> Response:
        """Send the request to the service whose turn it is, or to the one its client belongs to."""
        if self._cookie:
            return await self._call_by_cookie(request)
        if self._header and (value := request.headers.get_bytes(self._header)) is not None:
            return await self._by_hash(value).call(request)
        return await self._targets[self._turn.next()].call(request)

    async def _call_by_cookie(self, request: Request) -> Response:
        known = self._by_name.get(request.cookies.get(self._cookie, ""))
        if known is not None:
            return await known.call(request)
        target = self._targets[self._turn.next()]
        response = await target.call(request)
        response.headers.add("set-cookie", f"{self._cookie}={target.service}; Path=/; HttpOnly; SameSite=Lax")
        return response

    def _by_hash(self, value: bytes) -> Target:
        place = zlib.crc32(value) % self._total
        for target, weight in zip(self._targets, self._weights, strict=True):
            place -= weight
            if place < 0:
                return target
        raise AssertionError("the weights add up to the total")


def split_of(route: RouteConfig, call_of: Callable[[str], CallNext]) -> Split:
    """Return the split that the route's `to` and `sticky` ask for; `call_of` gives the call of a service."""
    targets = [Target(service=each.service, weight=each.weight, call=call_of(each.service)) for each in route.to]
    sticky = route.sticky or StickyConfig()
    return Split(targets, cookie=sticky.cookie or "", header=sticky.header or "")
