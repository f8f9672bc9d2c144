from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from meshwright_sdk import ConfigDocument, ConfigSource, NoOptions
from meshwright_sdk.testing import ManualClock, build, check_config_source


class Sound(ConfigSource[NoOptions]):
    text = "routes: []"

    async def read(self) -> ConfigDocument:
        return ConfigDocument(text=self.text, name="memory", base_dir=Path())

    async def watch(self) -> AsyncIterator[ConfigDocument]:
        seen = self.text
        while True:
            await self.context.clock.sleep(1)
            if seen != self.text:
                seen = self.text
                yield await self.read()

    def change(self) -> Any:
        self.text += "  "


class ChangedElsewhere(Sound):
    async def change(self) -> None:
        self.text = "changed"


class ReadsBytes(Sound):
    async def read(self) -> ConfigDocument:
        return ConfigDocument(text=self.text.encode(), name="memory", base_dir=Path())  # type: ignore[arg-type]


class ReadsText(Sound):
    async def read(self) -> Any:
        return self.text


class Nameless(Sound):
    async def read(self) -> ConfigDocument:
        return ConfigDocument(text=self.text, name="", base_dir=Path())


class FolderAsText(Sound):
    async def read(self) -> ConfigDocument:
        return ConfigDocument(text=self.text, name="memory", base_dir="/etc")  # type: ignore[arg-type]


class CannotRead(Sound):
    async def read(self) -> ConfigDocument:
        raise OSError("no server")


class YieldsAtOnce(Sound):
    async def watch(self) -> AsyncIterator[ConfigDocument]:
        yield await self.read()


class NeverYields(Sound):
    async def watch(self) -> AsyncIterator[ConfigDocument]:
        await asyncio.Event().wait()
        yield await self.read()


class YieldsTheOldOne(Sound):
    async def watch(self) -> AsyncIterator[ConfigDocument]:
        old = await self.read()
        while old.text == self.text:
            await self.context.clock.sleep(1)
        yield old


class ReadsTheOldOne(Sound):
    first: ConfigDocument | None = None

    async def read(self) -> ConfigDocument:
        self.first = self.first or await super().read()
        return self.first

    async def watch(self) -> AsyncIterator[ConfigDocument]:
        while self.text == "routes: []":
            await self.context.clock.sleep(1)
        yield await super().read()


class YieldsText(Sound):
    async def watch(self) -> AsyncIterator[Any]:
        async for document in super().watch():
            yield document.text


class NoIterator(Sound):
    async def watch(self) -> Any:  # type: ignore[override]
        return await self.read()


class NeedsTheFiles(Sound):
    def depends_on(self, files: Iterable[Path]) -> None:
        for file in files:
            file.stat()


class Unstoppable(Sound):
    stopped: asyncio.Event
    watches = 0

    async def watch(self) -> AsyncIterator[ConfigDocument]:
        self.watches += 1
        if self.watches == 1:
            async for document in super().watch():
                yield document
        while not self.stopped.is_set():
            with suppress(asyncio.CancelledError):
                await self.stopped.wait()


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("claims", "config_sources"):
        monkeypatch.setattr(f"meshwright_sdk.testing.checks.{module}.PATIENCE_S", 0.1)


async def check(source: Sound, clock: ManualClock) -> None:
    await check_config_source(source, source.change, wait=clock.advance)


@pytest.mark.parametrize("sound", [Sound, ChangedElsewhere])
async def test_a_sound_source_passes(sound: type[Sound]) -> None:
    clock = ManualClock()
    await check(build(sound, clock=clock), clock)


class Distant(Sound):
    """What is read comes over a network that is slow for all clocks."""

    async def watch(self) -> AsyncIterator[ConfigDocument]:
        async for document in super().watch():
            await asyncio.sleep(0.6)
            yield document


async def test_a_source_that_is_slow_to_read_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshwright_sdk.testing.checks.config_sources.PATIENCE_S", 30)
    clock = ManualClock()
    await check(build(Distant, clock=clock), clock)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (ReadsBytes, "read: expected text as str (decode the bytes); got bytes"),
        (ReadsText, "read: expected a ConfigDocument; got 'routes: []'"),
        (Nameless, "read: expected a name, which stands in messages; got ''"),
        (FolderAsText, "read: expected base_dir to be a Path; got '/etc'"),
        (CannotRead, "read: expected the present document; it raised OSError('no server')"),
        (YieldsAtOnce, "watch: expected nothing before the document changes (`read` gives the present one); got one"),
        (NeverYields, "watch: expected the document after a change; got nothing"),
        (YieldsTheOldOne, "watch: expected the text after the change; got the one before"),
        (ReadsTheOldOne, "read: expected the same text as was reported; got another one"),
        (YieldsText, "watch: expected a ConfigDocument; got 'routes: []  '"),
        (NoIterator, "watch(): expected an async iterator"),
        (
            NeedsTheFiles,
            "depends_on: expected it to take files, also ones that are not there; it raised FileNotFoundErr",
        ),
    ],
)
async def test_a_broken_source_is_told_what_to_mend(broken: type[Sound], message: str) -> None:
    clock = ManualClock()
    with pytest.raises(AssertionError, match=re.escape(message)):
        await check(build(broken, clock=clock), clock)


async def test_a_watch_that_cannot_be_stopped_is_found() -> None:
    clock = ManualClock()
    unstoppable = build(Unstoppable, clock=clock)
    unstoppable.stopped = asyncio.Event()

    with pytest.raises(AssertionError, match=re.escape("watch: expected it to end when it is cancelled")):
        await check(unstoppable, clock)
    unstoppable.stopped.set()
    await asyncio.sleep(0)
