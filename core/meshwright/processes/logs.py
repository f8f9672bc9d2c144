"""Logging of the program: one line a record on stderr; what is worth a record is decided where it happens."""

from __future__ import annotations

import logging
import sys
import time

QUIET = ("uvicorn", "uvicorn.error", "asyncio", "aiohttp.access")


def configure_logging(level: str = "INFO", *, worker: str = "") -> None:
    """Send every record of this process to stderr; servers and libraries below speak up from warnings on.

    `worker` stands in each line, so that lines of several processes can be told apart.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(worker))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in QUIET:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)


class LineFormatter(logging.Formatter):
    """Time in UTC, level, worker, logger and message in one line.

    Line ends inside a message are escaped, so that what a client sent can never look like a record of its
    own; the lines of a traceback follow, indented.
    """

    converter = time.gmtime  # type: ignore[assignment]
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, worker: str = "") -> None:
        where = f" worker {worker.replace('%', '%%')}" if worker else ""
        super().__init__(f"%(asctime)s %(levelname)s{where} %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the record without its traceback, in one line."""
        return super().formatMessage(record).rstrip().replace("\r", "\\r").replace("\n", "\\n")

    def formatException(self, ei: logging._SysExcInfoType) -> str:  # noqa: N802
        """Return the traceback, each of its lines indented."""
        return "\n".join(f"    {line}" for line in super().formatException(ei).splitlines())
