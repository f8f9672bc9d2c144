"""`View`: a filter that keeps how the gateway itself understood its requests; what others make of them is not here."""

from __future__ import annotations

from collections.abc import AsyncIterator

from meshwright_sdk import Body, CallNext, Request, Response
from tests.core.http1.corpus.case import Seen


class View:
    """Keeps each request once its content is complete; `unfinished` counts those whose content is not.

    `upgrades` says that one asked for another protocol.
    """

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.unfinished = 0
        self.upgrades = False

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        self.upgrades = self.upgrades or bool(request.upgrade)
        if request.body.data is not None:
            self._keep(request, request.body.data)
        else:
            self.unfinished += 1
            request.body = Body.stream(self._copied(request, request.body), length=request.body.length)
        return await call_next(request)

    async def _copied(self, request: Request, body: Body) -> AsyncIterator[bytes]:
        data = b""
        async for piece in body:
            data += piece
            yield piece
        self.unfinished -= 1
        self._keep(request, data)

    def _keep(self, request: Request, data: bytes) -> None:
        self.requests.append(Seen(request.method, request.target, data, request.headers["host"]))
