from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from meshwright_plugins.config_sources.file import File
from meshwright_sdk import ConfigDocument, ConfigError, Tasks
from meshwright_sdk.testing import build, check_config_source
from tests.plugins.noted_clock import NotedClock

WITHIN_S = 10


class Watched:
    """A configuration file in a folder of its own, a source that watches it, and the clock that moves the watch."""

    def __init__(self, folder: Path, kind: type[File] = File, **options: Any) -> None:
        self.file = folder / "gateway.yaml"
        self.file.write_text("routes: []\n")
        self.clock = NotedClock()
        self.source = build(kind, clock=self.clock, base_dir=folder, path="gateway.yaml", **options)
        self._changes: AsyncIterator[ConfigDocument] = aiter(self.source.watch())
        self._tasks = Tasks()
        self._next: asyncio.Task[ConfigDocument] | None = None

    async def start(self) -> None:
        await self.source.read()
        await self.pass_time(0)

    async def pass_time(self, seconds: float) -> None:
        if self._next is None:
            self._next = self._tasks.spawn(self._take(), name="next document")
        await self.clock.advance(seconds)

    async def _take(self) -> ConfigDocument:
        return await anext(self._changes)

    @property
    def has_change(self) -> bool:
        return self._next is not None and self._next.done()

    async def is_quiet(self) -> bool:
        """Return whether a minute goes by without the source seeing anything that it would have to wait for."""
        await self.pass_time(0)
        self.clock.pauses.clear()
        await self.pass_time(60)
        return set(self.clock.pauses) == {1.0} and not self.has_change

    async def change(self) -> str:
        """Return the next document's text; turns the clock on while the file is read in its thread."""
        async with asyncio.timeout(WITHIN_S):
            while not self.has_change:
                await self.pass_time(1)
                await asyncio.sleep(0.001)
        assert self._next is not None
        task, self._next = self._next, None
        return task.result().text

    async def close(self) -> None:
        await self._tasks.close()


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    watched = Watched(tmp_path)
    await watched.start()
    yield watched
    await watched.close()


def replace(file: Path, text: str) -> None:
    """Write beside and rename, as editors and deployment tools do."""
    fresh = file.with_name("fresh")
    fresh.write_text(text)
    fresh.replace(file)


async def test_the_document_knows_its_name_and_its_folder(watched: Watched) -> None:
    document = await watched.source.read()

    assert document == ConfigDocument(text="routes: []\n", name="gateway.yaml", base_dir=watched.file.parent)


async def test_a_missing_file_and_one_that_is_no_text_are_named(watched: Watched) -> None:
    watched.file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"gateway.yaml: expected text in UTF-8; got byte 0xff"):
        await watched.source.read()

    watched.file.unlink()
    with pytest.raises(FileNotFoundError):
        await watched.source.read()


async def test_a_byte_order_mark_is_no_part_of_the_text(watched: Watched) -> None:
    watched.file.write_bytes(b"\xef\xbb\xbfroutes: []")

    assert (await watched.source.read()).text == "routes: []"


async def test_nothing_is_reported_before_a_change(watched: Watched) -> None:
    assert await watched.is_quiet()


async def test_a_written_file_is_reported_and_the_next_change_too(watched: Watched) -> None:
    watched.file.write_text("routes: [1]")
    first = await watched.change()
    watched.file.write_text("routes: [2, 3]")

    assert (first, await watched.change()) == ("routes: [1]", "routes: [2, 3]")
    assert await watched.is_quiet()


async def test_a_replaced_file_is_reported_even_if_time_and_size_are_the_same(watched: Watched) -> None:
    before = watched.file.stat()
    fresh = watched.file.with_name("fresh")
    fresh.write_text("routes: {}\n")
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    fresh.replace(watched.file)

    assert await watched.change() == "routes: {}\n"


async def test_a_change_between_the_reading_and_the_watching_is_seen(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    await watched.source.read()
    watched.file.write_text("changed meanwhile")

    assert await watched.change() == "changed meanwhile"
    await watched.close()


async def test_what_was_read_in_between_is_not_reported_again(watched: Watched) -> None:
    watched.file.write_text("read by hand")
    await watched.source.read()
    assert await watched.is_quiet()


async def test_a_file_still_being_written_is_left_alone(watched: Watched) -> None:
    for size in range(1, 30):
        watched.file.write_text("x" * size)
        await watched.pass_time(0.1)

    assert watched.clock.pauses.count(0.1) > 15
    assert await watched.change() == "x" * 29


async def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    class Overtaken(File):
        def _read(self) -> ConfigDocument:
            document = super()._read()
            if document.text == "old":
                replace(self._path, "new")
            return document

    watched = Watched(tmp_path, kind=Overtaken)
    await watched.start()
    watched.file.write_text("old")
    changed = await watched.change()
    quiet = await watched.is_quiet()
    await watched.close()

    assert (changed, quiet) == ("new", True)


async def test_a_swapped_symbolic_link_is_followed(tmp_path: Path) -> None:
    """Kubernetes mounts a ConfigMap as a link to a link to a folder, and swaps the one in the middle."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "gateway.yaml").write_text(version)
        os.utime(tmp_path / version / "gateway.yaml", ns=(1, 1))
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "mount").mkdir()
    watched = Watched(tmp_path / "mount")
    watched.file.unlink()
    watched.file.symlink_to("../..data/gateway.yaml")
    await watched.start()
    (tmp_path / "..new").symlink_to("v2")
    (tmp_path / "..new").replace(tmp_path / "..data")

    assert await watched.change() == "v2"
    await watched.close()


async def test_a_file_that_is_missing_for_a_while_is_waited_for(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.file.unlink()
    await watched.pass_time(60)
    missed = watched.has_change
    replace(watched.file, "back again")

    assert not missed
    assert await watched.change() == "back again"
    assert [record.getMessage() for record in caplog.records] == [
        f"{watched.file}: cannot be read, the configuration stays as it is: it is missing"
    ]


async def test_a_file_that_comes_back_as_it_was_is_no_change_but_its_next_loss_is_told(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    aside = watched.file.with_name("aside")
    for _ in range(2):
        watched.file.rename(aside)
        await watched.pass_time(5)
        aside.rename(watched.file)
        await watched.pass_time(5)

    assert not watched.has_change
    assert len(caplog.records) == 2


async def test_a_file_that_cannot_be_read_is_told_once_and_tried_again(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.file.write_bytes(b"\xff")
    async with asyncio.timeout(WITHIN_S):
        while not caplog.records:
            await watched.pass_time(1)
            await asyncio.sleep(0.001)
    watched.file.write_text("readable")

    assert await watched.change() == "readable"
    assert len(caplog.records) == 1
    assert "expected text in UTF-8" in caplog.text


async def test_a_change_of_a_file_that_the_document_speaks_of_is_a_change(watched: Watched) -> None:
    certificate, secret = watched.file.with_name("shop.pem"), watched.file.with_name("secret")
    certificate.write_text("1")
    watched.source.depends_on([certificate, secret])
    quiet = await watched.is_quiet()
    replace(certificate, "2")
    first = await watched.change()
    secret.write_text("now there")

    assert quiet
    assert (first, await watched.change()) == ("routes: []\n", "routes: []\n")


async def test_a_file_that_the_document_speaks_of_no_more_is_not_watched(watched: Watched) -> None:
    secret = watched.file.with_name("secret")
    watched.source.depends_on([secret])
    watched.source.depends_on([])
    secret.write_text("of no interest")
    assert await watched.is_quiet()


async def test_naming_the_files_again_forgets_no_change(watched: Watched) -> None:
    secret = watched.file.with_name("secret")
    watched.source.depends_on([secret])
    secret.write_text("changed before it is named again")
    watched.source.depends_on([secret, watched.file])

    assert await watched.change() == "routes: []\n"


async def test_a_change_is_looked_for_at_the_interval_and_settles_for_a_tenth_of_it(tmp_path: Path) -> None:
    watched = Watched(tmp_path, interval="10s")
    await watched.start()
    watched.file.write_text("changed")
    changed = await watched.change()
    await watched.close()

    assert changed == "changed"
    assert watched.clock.pauses[:2] == [10.0, 1.0]


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="interval: expected more than 0s; got 0s"):
        build(File, path="gateway.yaml", interval="0s")
    with pytest.raises(ValidationError):
        build(File, path="gateway.yaml", interval="1")


async def test_it_holds_to_the_contract_of_sources(tmp_path: Path) -> None:
    file, clock = tmp_path / "gateway.yaml", NotedClock()
    file.write_text("routes: []")

    def change() -> None:
        replace(file, "routes: [1]")

    await check_config_source(build(File, clock=clock, path=str(file)), change, wait=clock.advance)
