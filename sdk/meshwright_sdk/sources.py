"""`ConfigSource`: where configuration documents come from; reading what they say goes elsewhere."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from meshwright_sdk.errors import ConfigError
from meshwright_sdk.plugin import O_co, Plugin


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigDocument:
    """One configuration as text. `name` stands in messages; `base_dir` is where its relative paths start."""

    text: str
    name: str
    base_dir: Path

    @classmethod
    def from_file(cls, file: Path, *, name: str | None = None) -> Self:
        """Read `file`; its folder is where relative paths start, a symbolic link's own folder for a link.

        It waits for the disk. Raises OSError, and ConfigError for what is no UTF-8; a byte order mark is left out.
        """
        name = str(file) if name is None else name
        try:
            text = file.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            got = f"byte {error.object[error.start]:#04x}"
            raise ConfigError([f"{name}: expected text in UTF-8; got {got}"]) from error
        return cls(text=text, name=name, base_dir=file.absolute().parent)


class ConfigSource(Plugin[O_co]):
    """Delivers the configuration, now and whenever it changes."""

    @abstractmethod
    async def read(self) -> ConfigDocument:
        """Return the present document; raises OSError or MeshwrightError when it cannot be had."""

    @abstractmethod
    def watch(self) -> AsyncIterator[ConfigDocument]:
        """Yield the document after each change, not at once; a passing failure is the plugin's to retry and log."""

    def depends_on(self, files: Iterable[Path]) -> None:
        """Take note that the document speaks of `files` too, so that a change of one counts as a change of it."""


AnyConfigSource = ConfigSource[Any]
