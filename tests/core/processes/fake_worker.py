"""A worker and a configuration source that do what a test says, for tests of the control side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from meshwright.processes.exposition import FamilyDump, dump
from meshwright.processes.reading import Reading
from meshwright.processes.worker_handle import Act
from meshwright_sdk import ConfigDocument, ConfigSource, Context, Metrics, NoOptions

YAML = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
admin: {bind: "127.0.0.1:0"}
routes:
  - {name: orders, match: {path: "/orders/*"}, to: orders}
services:
  orders: {endpoints: ["http://127.0.0.1:9"]}
"""


def document(text: str = YAML, base_dir: Path = Path("/")) -> ConfigDocument:
    return ConfigDocument(text=text, name="gateway.yaml", base_dir=base_dir)


class FakeWorker:
    """Keeps what it was asked; `failure` is raised by the calls it names, `hangs` names those that never end."""

    def __init__(self, name: str = "0") -> None:
        self.name = name
        self.pid = 1000 + int(name)
        self.version = 0
        self.documents: list[ConfigDocument] = []
        self.prepared: set[int] = set()
        self.most_prepared = 0
        self.discarded: list[int] = []
        self.failure: dict[str, BaseException] = {}
        self.hangs: set[str] = set()
        self.given_up = False
        self.stopped_with: list[float] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.counts = Metrics()
        self.services: list[dict[str, Any]] = []
        self.uses: dict[str, dict[str, Any]] = {}
        self.acts: list[tuple[str, str, dict[str, str]]] = []
        self.committed_with: list[Act] = []
        self.explained: list[tuple[str, str, Sequence[Sequence[str]]]] = []

    async def prepare(self, reading: Reading, version: int) -> None:
        await self._behave("prepare")
        self.documents.append(reading.document)
        self.prepared.add(version)
        self.most_prepared = max(self.most_prepared, len(self.prepared))

    async def commit(self, version: int, acts: Sequence[Act] = ()) -> None:
        await self._behave("commit")
        self.committed_with = list(acts)
        self.prepared.remove(version)
        self.version = version

    async def discard(self, version: int) -> None:
        await self._behave("discard")
        self.prepared.discard(version)
        self.discarded.append(version)

    async def status(self) -> dict[str, Any]:
        await self._behave("status")
        return {"pid": self.pid, "version": self.version, "listeners": [], "services": self.services}

    async def metrics(self) -> Sequence[FamilyDump]:
        await self._behave("metrics")
        return dump(self.counts)

    async def explain(self, method: str, url: str, headers: Sequence[Sequence[str]]) -> dict[str, Any]:
        await self._behave("explain")
        self.explained.append((method, url, headers))
        return {"route": "orders"}

    async def state(self) -> dict[str, Any]:
        await self._behave("state")
        return self.uses

    async def act(self, use: str, action: str, arguments: Mapping[str, str]) -> bool:
        await self._behave("act")
        if use not in self.uses:
            raise ValueError(f"use: there is no {use}")
        self.acts.append((use, action, dict(arguments)))
        return action != "purge"

    async def stop(self, grace_s: float) -> None:
        self.stopped_with.append(grace_s)
        await self.may_end.wait()

    def give_up(self) -> None:
        self.given_up = True

    async def _behave(self, call: str) -> None:
        await asyncio.sleep(0)
        if self.given_up:
            raise ConnectionResetError
        if call in self.hangs:
            await asyncio.Event().wait()
        if call in self.failure:
            raise self.failure[call]


class FakeSource(ConfigSource[NoOptions]):
    """Says `text` until a test changes it; a watcher learns of it by `changed`."""

    def __init__(self, text: str = YAML, base_dir: Path = Path("/")) -> None:
        super().__init__(NoOptions(), Context(base_dir=base_dir))
        self.text = text
        self.failure: Exception | None = None
        self.files: frozenset[Path] = frozenset()
        self._changes: asyncio.Queue[Callable[[], ConfigDocument]] = asyncio.Queue()

    async def read(self) -> ConfigDocument:
        if self.failure is not None:
            raise self.failure
        return document(self.text, self.context.base_dir)

    async def watch(self) -> AsyncIterator[ConfigDocument]:
        while True:
            change = await self._changes.get()
            yield change()
            self._changes.task_done()

    def depends_on(self, files: Any) -> None:
        self.files = frozenset(files)

    async def changed(self, text: str) -> None:
        """Tell the watcher and return when it has dealt with it."""
        self.text = text
        self._changes.put_nowait(lambda: document(text, self.context.base_dir))
        await self._changes.join()

    async def fail_watching(self, error: Exception) -> None:
        """Have the watch raise."""

        def fail() -> ConfigDocument:
            self._changes.task_done()
            raise error

        self._changes.put_nowait(fail)
        await self._changes.join()
