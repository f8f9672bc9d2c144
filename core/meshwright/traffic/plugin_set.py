"""`PluginSet`: plugins of one service that come and go together while it stays; what they decide goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

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

    async def close(self) -> None:
        """Close the plugins, once, and end their background work."""
        if self._closed:
            return
        self._closed = True
        async with AsyncExitStack() as stack:  # each is closed, whatever the others raise
            stack.push_async_callback(self._tasks.close)
            for plugin in self._plugins:
                stack.push_async_callback(plugin.close)
