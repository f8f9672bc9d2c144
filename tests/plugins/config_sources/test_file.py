"""`file`: changes that settle are delivered, others are not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meshwright_plugins.config_sources.file import File
from meshwright_sdk import ConfigDocument
from meshwright_sdk.testing import ManualClock, build


class Watched:
    """A source that is being watched, its clock, and what it has delivered."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock()
        self.source = build(File, path=str(path), clock=self.clock)
        self.texts: list[str] = []
        self.task: asyncio.Task[None] | None = None
        # One thread, so that the empty call in `seconds` runs after a read that was begun.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))

    async def follow(self) -> None:
        async for document in self.source.watch():
            self.texts.append(document.text)

    async def seconds(self, count: int) -> list[str]:
        for _ in range(count):
            await self.clock.advance(1.0)
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)  # lets a read in a thread end
            await self.clock.advance(0.0)
        return self.texts


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    path = tmp_path / "gateway.yaml"
    path.write_text("one: 1\n")
    watched = Watched(path)
    await watched.source.read()
    watched.task = asyncio.get_running_loop().create_task(watched.follow())
    yield watched
    watched.task.cancel()


async def test_it_reads_the_text_and_knows_the_folder(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("one: 1\n")
    path = str(tmp_path / "gateway.yaml")

    document = await build(File, path=path).read()

    assert document == ConfigDocument(text="one: 1\n", name=path, base_dir=tmp_path)


async def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await build(File, path=str(tmp_path / "none.yaml")).read()


async def test_nothing_is_delivered_while_nothing_changes(watched: Watched) -> None:
    assert await watched.seconds(5) == []


async def test_a_change_is_delivered_once_when_it_has_settled(watched: Watched) -> None:
    watched.source.options.path.write_text("two: 22\n")

    assert await watched.seconds(1) == []
    assert await watched.seconds(5) == ["two: 22\n"]


async def test_a_file_that_is_still_written_is_not_read(watched: Watched) -> None:
    for size in range(3, 8):
        watched.source.options.path.write_text("x" * size)
        assert await watched.seconds(1) == []

    assert await watched.seconds(2) == ["xxxxxxx"]


async def test_a_file_that_is_away_for_a_while_changes_nothing(watched: Watched) -> None:
    watched.source.options.path.unlink()
    assert await watched.seconds(3) == []

    watched.source.options.path.write_text("back: 1\n")
    assert await watched.seconds(3) == ["back: 1\n"]


async def test_a_link_that_is_turned_is_a_change(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gateway.yaml").write_text(f"from: {name}\n")
    link = tmp_path / "data"
    link.symlink_to("a")
    watched = Watched(link / "gateway.yaml")
    await watched.source.read()
    watched.task = asyncio.get_running_loop().create_task(watched.follow())
    await watched.seconds(2)

    (tmp_path / "next").symlink_to("b")
    os.replace(tmp_path / "next", link)

    assert await watched.seconds(3) == ["from: b\n"]
    watched.task.cancel()


async def test_a_file_the_document_speaks_of_counts_too(watched: Watched, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("old")
    watched.source.depends_on([secret])
    assert await watched.seconds(3) == []

    secret.write_text("newer")

    assert await watched.seconds(3) == ["one: 1\n"]


async def test_a_file_that_can_not_be_read_is_told_once_and_tried_again(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.source.options.path.write_bytes(b"\xff\xfe\xff")
    assert await watched.seconds(5) == []
    assert len([each for each in caplog.records if "cannot be read" in each.getMessage()]) == 1

    watched.source.options.path.write_text("fine: 1\n")
    assert await watched.seconds(3) == ["fine: 1\n"]
