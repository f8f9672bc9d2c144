"""`ConfigSource`: where configuration documents come from; reading what they say goes elsewhere."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshwright_sdk.plugin import O_co, Plugin


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigDocument:
    """One configuration as text. `name` stands in messages; `base_dir` is where its relative paths start."""

    text: str
    name: str
    base_dir: Path


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
