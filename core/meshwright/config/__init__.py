"""Reading the configuration: YAML, references, models, checks, problems and schema; nothing in it starts anything."""

from __future__ import annotations

from meshwright.config.bind import Bind
from meshwright.config.document import Document, read_document
from meshwright.config.loader import LoadedConfig, located, plugin_entries, problems_beside_plugins, validate
from meshwright.config.model import GatewayConfig
from meshwright.config.plugin_use import KINDS, Kind, PluginUse, UnknownPluginError
from meshwright.config.problems import KeyPath, Problem, config_error, format_path, problems_in

__all__ = [
    "KINDS",
    "Bind",
    "Document",
    "GatewayConfig",
    "KeyPath",
    "Kind",
    "LoadedConfig",
    "PluginUse",
    "Problem",
    "UnknownPluginError",
    "config_error",
    "format_path",
    "located",
    "plugin_entries",
    "problems_beside_plugins",
    "problems_in",
    "read_document",
    "validate",
]
