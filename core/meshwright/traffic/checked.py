"""`CheckedConfig`: a document that was read and found right, with the plugins it names; nothing is built of it here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshwright.config import (
    Document,
    LoadedConfig,
    Problem,
    config_error,
    located,
    plugin_entries,
    problems_beside_plugins,
    problems_in,
    read_document,
    validate,
)
from meshwright.config.order_warnings import misplaced
from meshwright.plugin_host.loading import plugin_files
from meshwright.plugin_host.registry import Registry
from meshwright_sdk import ConfigDocument, ConfigError


@dataclass(frozen=True, slots=True)
class CheckedConfig:
    """What is known of a configuration before anything is built of it."""

    document: ConfigDocument
    loaded: LoadedConfig
    registry: Registry

    @property
    def files(self) -> frozenset[Path]:
        """Every file it was made of beside the document itself."""
        return self.loaded.files | self.registry.files

    def warnings(self) -> list[Problem]:
        """Return what is right and still hardly meant."""
        return warnings_of(self.loaded, self.registry)


class UnusableConfig(ConfigError):
    """What a document says is wrong; `files` are those that it names, for a change of one may mend it."""

    def __init__(self, problems: Sequence[object], files: frozenset[Path]) -> None:
        super().__init__(problems)
        self.files = files


def read(document: ConfigDocument) -> CheckedConfig:
    """Read and check a document, and import the plugins it names; raises ConfigError with every problem.

    It is UnusableConfig as soon as the document is well-formed.

    It needs no event loop and takes about a second for 10,000 routes: where there is traffic, in a thread.
    """
    text = read_document(document.text, document.name, environ=os.environ, folder=document.base_dir)
    try:
        return _checked(document, text)
    except ConfigError as error:
        files = text.files.union(plugin_files(plugin_entries(text), document.base_dir))
        raise UnusableConfig(error.problems, files) from error


def _checked(document: ConfigDocument, text: Document) -> CheckedConfig:
    try:
        registry = Registry.load(plugin_entries(text), document.base_dir)
    except ConfigError as error:
        raise _located_in(text, error) from error
    return CheckedConfig(document, validate(text, registry.options_of), registry)


def warnings_of(loaded: LoadedConfig, registry: Registry) -> list[Problem]:
    """Return what is right and still hardly meant, in the configuration by itself and in the order of its filters."""

    def goes_inside(name: str) -> Mapping[str, str]:
        return getattr(registry.find("filter", name).target, "goes_inside", {})

    found = [*loaded.warnings()]
    for (path, name), (inner, other), why in misplaced(loaded.config, goes_inside):
        wanted = f"{name} further inside than {other} (line {loaded.line_of(inner)})"
        found.append(loaded.problem((*path, name), wanted, "it around", f"{other}: {why}"))
    return found


def _located_in(text: Document, error: ConfigError) -> ConfigError:
    return config_error([*problems_beside_plugins(text), *(located(text, each) for each in problems_in(error))])
