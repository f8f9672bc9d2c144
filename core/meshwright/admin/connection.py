"""`AdminConnection`: one connection to the admin API, bounded in time; uvicorn does the rest."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 10.0
"""How long a client may take to send the head of a request, from the connection's start or the answer before on."""


class AdminConnection(HttpToolsProtocol):
    """Closes when no request has come in time, so that those who only connect do not keep others out."""

    head_s = HEAD_S
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_head()

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self.transport.abort()

    def _await_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(self.head_s, self._expire)

    def _expire(self) -> None:
        if getattr(self.cycle, "response_complete", True):  # there is none before the first request
            self.abort()
