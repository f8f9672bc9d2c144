"""Applications that start, refuse, know no lifespan, or shut down badly."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette

from meshwright.asgi import lifespan as module
from meshwright.asgi.lifespan import Lifespan, StartError
from meshwright_sdk.asgi import Message, Receive, Scope, Send


class App:
    """Speaks the lifespan protocol; `startup` and `shutdown` are sent in answer, an exception is raised."""

    def __init__(self, startup: Message | Exception | None = None, shutdown: Message | Exception | None = None) -> None:
        self.startup = startup or {"type": "lifespan.startup.complete"}
        self.shutdown = shutdown or {"type": "lifespan.shutdown.complete"}
        self.got: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["db"] = "open"
        for answer in (self.startup, self.shutdown):
            self.got.append((await receive())["type"])
            if isinstance(answer, Exception):
                raise answer
            await send(answer)


async def test_startup_and_shutdown_are_run_and_the_state_is_kept() -> None:
    app = App()
    lifespan = Lifespan(app, "app")

    await lifespan.start()
    await lifespan.close()

    assert (app.got, lifespan.state) == (["lifespan.startup", "lifespan.shutdown"], {"db": "open"})


async def test_a_refusal_says_what_the_application_said() -> None:
    lifespan = Lifespan(App({"type": "lifespan.startup.failed", "message": "no database"}), "app")

    with pytest.raises(StartError, match="no database"):
        await lifespan.start()
    await lifespan.close()


async def test_what_startup_raises_is_told_with_the_authors_frames() -> None:
    with pytest.raises(StartError, match=r"KeyError: 'dsn' \(.*test_lifespan\.py:\d+ in __call__"):
        await Lifespan(App(KeyError("dsn")), "app").start()


async def test_a_starlette_application_that_fails_is_told_by_its_exception() -> None:
    @asynccontextmanager
    async def failing(app: Starlette) -> AsyncIterator[None]:
        if app.routes == []:
            raise RuntimeError("no database")
        yield

    with pytest.raises(StartError, match=r"RuntimeError: no database \(.*in failing"):
        await Lifespan(Starlette(lifespan=failing), "app").start()


async def test_an_application_without_a_lifespan_is_no_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"

    lifespan = Lifespan(app, "app")

    await lifespan.start()
    await lifespan.close()

    assert lifespan.state is None


async def test_an_application_that_returns_at_once_is_no_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    lifespan = Lifespan(app, "app")

    await lifespan.start()

    assert lifespan.state is None


async def test_a_shutdown_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    lifespan = Lifespan(App(shutdown=KeyError("x")), "app")
    await lifespan.start()

    with caplog.at_level(logging.ERROR):
        await lifespan.close()

    assert "app: shutdown failed: KeyError: 'x'" in caplog.text


async def test_a_shutdown_that_takes_too_long_is_cut_short(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHUTDOWN_S", 0.0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await asyncio.Event().wait()

    lifespan = Lifespan(app, "app")
    await lifespan.start()
    with caplog.at_level(logging.ERROR):
        await lifespan.close()

    assert "shutdown failed: it took more than" in caplog.text
