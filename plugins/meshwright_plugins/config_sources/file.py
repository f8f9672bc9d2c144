"""`file`: the configuration from a YAML file, read again when it or a file it speaks of changes; it checks nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from pydantic import Field

from meshwright_sdk import ConfigDocument, ConfigSource, Context, Duration, Options

logger = logging.getLogger("meshwright.config_sources.file")

Stamp = tuple[int, int, int] | None


class FileOptions(Options):
    """Options of `file`."""

    path: Path = Field(description="The YAML file.")
    interval: Duration = Field(Duration("1s"), description="Time between two looks at the file.")


class File(ConfigSource[FileOptions]):
    """Reads the configuration from a file, and again when the file, or one it speaks of, has changed.

    A change counts when it has stood for one interval, so that a file is not read half-written. An editor that
    replaces the file, a link that is turned (as Kubernetes does it) and a file that is away for a while are all
    changes of it; while it is away nothing happens.
    """

    name = "file"

    def __init__(self, options: FileOptions, context: Context) -> None:
        super().__init__(options, context)
        self._others: frozenset[Path] = frozenset()
        self._read: dict[Path, Stamp] = {}

    async def read(self) -> ConfigDocument:
        """Return the file's text; raises OSError when it cannot be read, ValueError when it is not UTF-8."""
        path, stamps = self.options.path, self._stamps()
        text = await asyncio.to_thread(path.read_text, encoding="utf-8")
        self._read = stamps
        return ConfigDocument(text=text, name=str(path), base_dir=path.absolute().parent)

    def depends_on(self, files: Iterable[Path]) -> None:
        """Watch `files` too, in place of those named before."""
        others = frozenset(files)
        added = {path: _stamp(path) for path in others - self._others}
        self._others = others
        self._read = {**added, **{path: at for path, at in self._read.items() if path in self._watched()}}

    async def watch(self) -> AsyncIterator[ConfigDocument]:
        """Yield the document after each change that has settled; a file that cannot be read is told once."""
        seen, trouble = self._stamps(), ""
        self._read = self._read or seen
        while True:
            await self.context.clock.sleep(self.options.interval)
            before, seen = seen, self._stamps()
            if seen == self._read or seen != before or seen[self.options.path] is None:
                continue
            try:
                document = await self.read()
            except (OSError, ValueError) as error:
                if str(error) != trouble:
                    logger.warning("%s: cannot be read, the configuration stays: %s", self.options.path, error)
                trouble = str(error)
                continue
            trouble = ""
            yield document

    def _watched(self) -> frozenset[Path]:
        return self._others | {self.options.path}

    def _stamps(self) -> dict[Path, Stamp]:
        return {path: _stamp(path) for path in self._watched()}


def _stamp(path: Path) -> Stamp:
    """Return what changes with a file's content or identity, None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
