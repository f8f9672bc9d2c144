"""`CheckedConfig`: a document that was read and found right, with the plugins it names; nothing is built of it here."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from meshwright.config import LoadedConfig
from meshwright.plugin_host.registry import Registry
from meshwright.traffic.build import read
from meshwright_sdk import ConfigDocument

logger = logging.getLogger("meshwright.config")


@dataclass(frozen=True, slots=True)
class CheckedConfig:
    """What the control side knows of a configuration, before and beside the workers."""

    loaded: LoadedConfig
    registry: Registry

    @property
    def files(self) -> frozenset[Path]:
        """Every file it was made of beside the document itself."""
        return self.loaded.files | self.registry.files


def check(document: ConfigDocument) -> CheckedConfig:
    """Read and check a document, and log what is hardly meant; raises ConfigError with every problem."""
    config = CheckedConfig(*read(document))
    for warning in config.loaded.warnings():
        logger.warning("%s", warning)
    return config
