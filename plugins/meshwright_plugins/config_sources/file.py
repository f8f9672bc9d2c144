"""`file`: the configuration in a file, watched by looking; what it says is read elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

from pydantic import Field

from meshwright_sdk import ConfigDocument, ConfigError, ConfigSource, Context, Duration, Options

logger = logging.getLogger("meshwright.config")

Look = tuple[int, int, int] | None
"""What tells one state of a file from another without reading it: time of change, size, inode; None when missing."""

_LOOKS_TO_SETTLE = 10


class FileOptions(Options):
    """Options of the configuration file."""

    path: Path = Field(description="The file; relative to the folder that the gateway is started in.")
    interval: Duration = Field(
        Duration("1s"), description="How often to look for a change of the file and of those it names."
    )


class File(ConfigSource[FileOptions]):
    """Read the configuration from a file, and again when it or a file it speaks of has changed.

    Looking works where notifications do not: on network file systems, in containers, when an editor replaces the
    file or Kubernetes swaps a symbolic link. A change counts when the files have stood still for a tenth of the
    interval; a configuration file that is missing counts as about to come back.
    """

    def __init__(self, options: FileOptions, context: Context) -> None:
        super().__init__(options, context)
        if options.interval <= 0:
            raise ValueError("interval: expected more than 0s; got 0s")
        self._path = (context.base_dir / options.path).absolute()
        self._known: dict[Path, Look] = {}
        self._is_lost = False

    async def read(self) -> ConfigDocument:
        """Return the present document; raises OSError, and ConfigError for what is no UTF-8."""
        look = _look(self._path)
        document = await asyncio.to_thread(self._read)
        self._known[self._path] = look
        return document

    def depends_on(self, files: Iterable[Path]) -> None:
        """Watch `files` too, in place of those before; a change since they were last looked at still counts."""
        watched = {self._path, *files}
        self._known = {file: self._known[file] if file in self._known else _look(file) for file in watched}

    async def watch(self) -> AsyncIterator[ConfigDocument]:
        """Yield the document after each change that the last `read`, or this watch, has not seen."""
        self._known.setdefault(self._path, _look(self._path))
        while True:
            await self.context.clock.sleep(self.options.interval)
            if self._look() == self._known:
                self._is_lost = False
            elif (document := await self._read_settled()) is not None:
                yield document

    async def _read_settled(self) -> ConfigDocument | None:
        """Return the document once the files stand still, or None when it cannot be had for now."""
        look = await self._settle()
        if look[self._path] is None:
            self._lose("it is missing")
            return None
        try:
            document = await asyncio.to_thread(self._read)
        except (OSError, ConfigError) as error:
            self._lose(str(error))
            return None
        if self._look() != look:
            return None
        self._known.update(look)
        self._is_lost = False
        return document

    async def _settle(self) -> Mapping[Path, Look]:
        """Return what the files look like when they have not changed for a moment."""
        look = self._look()
        while True:
            await self.context.clock.sleep(self.options.interval / _LOOKS_TO_SETTLE)
            before, look = look, self._look()
            if look == before:
                return look

    def _lose(self, why: str) -> None:
        if not self._is_lost:
            logger.warning("%s: cannot be read, the configuration stays as it is: %s", self._path, why)
        self._is_lost = True

    def _look(self) -> dict[Path, Look]:
        return {file: _look(file) for file in self._known}

    def _read(self) -> ConfigDocument:
        return ConfigDocument.from_file(self._path, name=str(self.options.path))


def _look(file: Path) -> Look:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
