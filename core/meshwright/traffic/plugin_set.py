"""`PluginSet`: plugins of one service that come and go together while it stays; what they decide goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from meshwright.traffic.parts import CLOSE_S
from meshwright_sdk.plugin import Plugin
from meshwright_sdk.tasks import Tasks


class PluginSet:
    """Plugins that a reload may put in the place of others; `tasks` are those of their contexts.

    They are closed when the service has others, or with the last version that has them, whichever is first.
    """

    def __init__(self, plugins: Sequence[Plugin[Any]] = (), *, tasks: Tasks | None = None) -> None:
        self._plugins = tuple(plugins)
        self._tasks = tasks if tasks is not None else Tasks()  # one without work is false
        self._tried = asyncio.Event()
        self._has_started = not plugins
        self._closed = False
        if not plugins:
            self._tried.set()

    async def start(self) -> None:
        """Start the plugins, which know no endpoint yet."""
        try:
            for plugin in self._plugins:
                await plugin.start()
            self._has_started = True
        finally:
            self._tried.set()

    async def started(self) -> bool:
        """Return whether they have started, when that is clear."""
        await self._tried.wait()
        return self._has_started

    async def close(self, within_s: float = CLOSE_S) -> None:
        """Close the plugins, once, and end their background work; raises TimeoutError when they take longer.

        Where a service has others this is a task of its own, in which a `sys.exit` would end the process.
        """
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(within_s), AsyncExitStack() as stack:  # each is closed, whatever others raise
                stack.push_async_callback(self._tasks.close)
                for plugin in self._plugins:
                    stack.push_async_callback(plugin.close)
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(f"it raised {type(error).__name__}").with_traceback(error.__traceback__) from error
