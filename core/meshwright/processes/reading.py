"""`Reading`: a document that is read once in a process, however many ask what it says; building goes elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable

from meshwright.traffic.beside import in_thread
from meshwright.traffic.checked import CheckedConfig, read
from meshwright_sdk import ConfigDocument

logger = logging.getLogger("meshwright.config")

Load = Callable[[ConfigDocument], CheckedConfig]
"""Read and check a document, in any thread; raises ConfigError with every problem."""


class Reading:
    """A document, and what it says as soon as somebody wants to know.

    A worker in this process takes what the control side has read; one in another process gets the text.
    """

    def __init__(self, document: ConfigDocument, load: Load = read) -> None:
        self.document = document
        self._load = load
        self._config: CheckedConfig | None = None

    async def config(self) -> CheckedConfig:
        """Return what the document says; reads it in a thread the first time. Raises ConfigError."""
        if self._config is None:
            self._config = await in_thread(self._load, self.document)
        return self._config


def check(document: ConfigDocument) -> CheckedConfig:
    """Read and check a document, and log what is hardly meant; raises ConfigError with every problem."""
    config = read(document)
    for warning in config.warnings():
        logger.warning("%s", warning)
    return config
