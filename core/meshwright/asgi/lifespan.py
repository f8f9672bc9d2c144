"""`Lifespan`: start and end of an ASGI application, by the lifespan protocol; its requests go elsewhere."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from meshwright.plugin_host.frames import describe_failure
from meshwright_sdk.asgi import App, Message
from meshwright_sdk.tasks import Tasks

logger = logging.getLogger("meshwright.asgi")

SHUTDOWN_S = 10.0
"""How long an application may take to shut down before it is cancelled."""

LAST_WORDS_S = 0.1
"""How long an application that refused to start may take to raise the reason."""


class StartError(Exception):
    """The application refused to start; the message says what it raised and where, or what it said."""


class Lifespan:
    """The lifespan of one application.

    `state` is what the application put into the scope's state, or None where it takes no part: an application
    that raises before it has asked for the startup message has no lifespan, and that is no error.
    """

    def __init__(self, app: App, name: str) -> None:
        self._app = app
        self._name = name
        self._tasks = Tasks()
        self._task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._answer: asyncio.Future[str | None] | None = None
        self._asked = False
        self._refused = False
        self._failure: Exception | None = None
        self._state: dict[str, Any] = {}
        self.state: dict[str, Any] | None = None

    async def start(self) -> None:
        """Run the application's startup; raises StartError."""
        self._answer = asyncio.get_running_loop().create_future()
        self._messages.put_nowait({"type": "lifespan.startup"})
        self._task = self._tasks.spawn(self._run(), name=f"lifespan of {self._name}")
        refusal = await self._answer
        if refusal is not None:
            self._refused = True
            # An application that says it failed usually raises right after, which tells more.
            await asyncio.wait({self._task}, timeout=LAST_WORDS_S)
            raise StartError(describe_failure(self._failure) if self._failure else refusal or "no reason")

    async def close(self) -> None:
        """Run the application's shutdown; what goes wrong is logged."""
        if self._task is not None and not self._task.done() and not self._refused:
            self._answer = asyncio.get_running_loop().create_future()
            self._messages.put_nowait({"type": "lifespan.shutdown"})
            try:
                async with asyncio.timeout(SHUTDOWN_S):
                    refusal = await self._answer
                    await asyncio.wait({self._task})
            except TimeoutError:
                refusal = f"it took more than {SHUTDOWN_S:.0f} s"
            if refusal is not None:
                reason = describe_failure(self._failure) if self._failure else refusal
                logger.error("%s: shutdown failed: %s", self._name, reason)
        await self._tasks.close()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            self._failure = error
            if not self._asked:
                logger.debug("%s: the application has no lifespan: %r", self._name, error)
            elif self._settled:
                logger.error("%s: the lifespan failed: %s", self._name, describe_failure(error))
            self._settle("it raised" if self._asked else None)
        else:
            self._settle(None)

    @property
    def _settled(self) -> bool:
        return self._answer is None or self._answer.done()

    def _settle(self, refusal: str | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(refusal)

    async def _receive(self) -> Message:
        self._asked = True
        return await self._messages.get()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self.state = self._state
        elif kind not in ("lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            raise RuntimeError(f"asgi: expected a lifespan message; got {kind!r}")
        self._settle(message.get("message", "") if kind.endswith(".failed") else None)
