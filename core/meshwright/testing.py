"""`InProcessGateway`: a whole gateway in a test's own event loop; the SDK's test kit finds it by its entry point."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from meshwright.processes.listeners import Listeners
from meshwright.traffic.gateway import Gateway
from meshwright_sdk.sources import ConfigDocument


class InProcessGateway:
    """A gateway on real sockets, made from a YAML text and gone at the end of `async with`.

    Listeners that should not clash bind to port 0; `url` is the first one's address. There is no admin API.
    """

    def __init__(self, config: str, *, base_dir: Path | None = None) -> None:
        self._config = config
        self._base_dir = base_dir or Path.cwd()
        self._version = 0
        self.gateway = Gateway()
        self._listeners = Listeners(self.gateway.handle, self.gateway.metrics)

    async def __aenter__(self) -> InProcessGateway:
        await self.apply(self._config)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._listeners.close(grace_s=1.0)
        await self.gateway.close()

    async def apply(self, config: str) -> None:
        """Take another configuration into use, as a reload does; raises ConfigError and then changes nothing."""
        self._version += 1
        document = ConfigDocument(text=config, name="gateway.yaml", base_dir=self._base_dir)
        snapshot = await self.gateway.prepare(document, self._version)
        try:
            listeners = self._listeners.prepare(snapshot.config.config.listeners, self._base_dir)
        except BaseException:
            await self.gateway.discard(snapshot)
            raise
        await self.gateway.commit(snapshot)
        self._listeners.commit(listeners, grace_s=1.0)

    @property
    def url(self) -> str:
        """The base URL of the first listener, such as http://127.0.0.1:41234."""
        return self.urls[next(iter(self.urls))]

    @property
    def urls(self) -> dict[str, str]:
        """The base URL of each listener, by name."""
        return {bound.name: f"{bound.scheme}://{bound.bind}" for bound in self._listeners.bound}
