"""`Registry`: every plugin there is, by kind and name; importing modules and judging classes go elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from meshwright.config.plugin_use import KINDS, Kind, UnknownPluginError
from meshwright.config.problems import config_error
from meshwright.plugin_host.info import PluginInfo
from meshwright.plugin_host.loading import FAILURES, Source, importing, load_built_in, load_sources
from meshwright.plugin_host.registration import Registration
from meshwright_sdk import Context, Options

__all__ = ["KINDS", "Registry"]

logger = logging.getLogger("meshwright.plugins")


class Registry:
    """Every plugin there is: built in, installed, named in the YAML.

    Unchanged once loaded; a reload loads another one beside it. `hook` calls a hook of every plugin package,
    `files` are the plugin files that the YAML names, to be watched.
    """

    def __init__(self, registration: Registration, sources: Sequence[Source]) -> None:
        self._plugins = registration.plugins
        self.hook = registration.manager.hook
        self.files = frozenset(source.file for source in sources if source.file is not None)

    @classmethod
    def load(cls, entries: Sequence[str] = (), base_dir: Path = Path()) -> Registry:
        """Import and register everything; raises ConfigError with every problem, and then leaves nothing behind.

        An entry is a path from `base_dir` (`./filters.py`) or a module (`acme.filters`) that may lie in it. A
        file is imported again when its content has changed, a module never. Classes and functions that a hook
        offers as a string are imported when they are first used. A problem with an entry has the path
        `plugins[N]` and no file: whoever read the YAML knows file and line.
        """
        with importing(base_dir):
            sources, problems = load_sources(entries, base_dir)
            registration = Registration()
            for source in sources:
                registration.take(source)
            if problems or registration.problems:
                raise config_error([*problems, *registration.problems])
        return cls(registration, sources)

    @classmethod
    def built_in(cls) -> Registry:
        """Register what comes with Meshwright, for what goes before every configuration; looks for nothing else."""
        registration, source = Registration(), load_built_in()
        registration.take(source)
        return cls(registration, [source])

    def find(self, kind: str, name: str) -> PluginInfo:
        """Return the plugin of that kind and name; raises UnknownPluginError with the names there are."""
        if info := self._plugins.get((kind, name)):
            return info
        raise UnknownPluginError(kind, name, tuple(sorted(each for of, each in self._plugins if of == kind)))

    def options_of(self, kind: str, name: str) -> type[Options] | None:
        """Return the model of a plugin's options, None when it takes none; raises LookupError or ConfigError."""
        return self.find(kind, name).options

    def options(self) -> dict[Kind, dict[str, type[Options] | None]]:
        """Return the model of every plugin's options by kind and name; raises ConfigError when one cannot be had."""
        return {kind: {info.name: info.options for info in self.all() if info.kind == kind} for kind in KINDS}

    def all(self) -> Sequence[PluginInfo]:
        """Return every plugin, in the order of kinds and names."""
        return sorted(self._plugins.values(), key=lambda info: (KINDS.index(info.kind), info.name))

    def build(self, kind: str, name: str, options: Options | None, context: Context) -> Any:
        """Return one use of a plugin; raises ConfigError at the context's place when its constructor refuses."""
        return self.find(kind, name).build(options, context)

    def offers(self, hook: str) -> bool:
        """Return whether any plugin package implements a hook."""
        return bool(getattr(self.hook, hook).get_hookimpls())

    def each(self, hook: str) -> Iterator[tuple[str, Any]]:
        """Call a hook that takes nothing; yield each plugin package's name with its answer."""
        for impl in getattr(self.hook, hook).get_hookimpls():
            yield impl.plugin_name, impl.function()

    def tell(self, hook: str) -> None:
        """Call a hook that only takes note, of each package; what one raises is logged and stops no other."""
        for impl in getattr(self.hook, hook).get_hookimpls():
            try:
                impl.function()
            except FAILURES:
                logger.exception("plugin %s: its hook %s raised", impl.plugin_name, hook)
