"""`ClientTls`: the TLS of one service to its endpoints, made of files and made again when they change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from meshwright.net.pem_files import load_pair
from meshwright.net.watched_files import WatchedFiles

if TYPE_CHECKING:
    from meshwright.config.model import ServiceTlsConfig

logger = logging.getLogger("meshwright.tls")

PROTOCOLS = ["http/1.1"]


class ClientTls:
    """`context` is None until it was loaded, which costs some 20 ms for the system's authorities.

    Without a `config` the system's authorities are believed. `server_name` is whose certificate is wanted, where
    that is not the host of the endpoint.
    """

    def __init__(self, config: ServiceTlsConfig | None = None, base_dir: Path | None = None) -> None:
        self.context: ssl.SSLContext | None = None
        self.server_name = config.server_name if config is not None else None
        self._config = config
        self._base_dir = base_dir or Path()
        self._fault = ""
        self._files = WatchedFiles(self._base_dir / name for name in (config.files if config is not None else ()))

    @property
    def has_files(self) -> bool:
        """Whether there is anything that `renew` may find changed."""
        return self._config is not None and bool(self._config.files)

    async def ready(self) -> ssl.SSLContext:
        """Return the context, loaded in a thread the first time; raises OSError and ValueError."""
        if self.context is None:
            self.context = await asyncio.to_thread(self._load)
        return self.context

    def renew(self, place: str) -> None:
        """Load the files again if they changed, for connections to come, and log it. Does I/O.

        Files that cannot be used are tried again each time and logged once, and what was loaded goes on.
        """
        if self.context is None or not self._files.have_changed():
            return
        try:
            self.context = self._load()
        except (OSError, ValueError) as error:
            self._files.could_not_be_used()
            if str(error) != self._fault:
                self._fault = str(error)
                logger.error("%s: the changed TLS files cannot be used, those before go on: %s", place, error)
        else:
            self._fault = ""
            logger.info("%s: its TLS files are renewed", place)

    def _load(self) -> ssl.SSLContext:
        config = self._config
        if config is None or not config.files:
            return _plain_context(verify=config is None or config.verify)
        context = _context(None if config.ca is None else self._base_dir / config.ca, verify=config.verify)
        if config.certificate is not None:
            key = None if config.key is None else self._base_dir / config.key
            load_pair(context, self._base_dir / config.certificate, key)
        return context


@cache
def _plain_context(*, verify: bool) -> ssl.SSLContext:
    """Return the context of every service without files of its own: a thousand of them need not load them each."""
    return _context(None, verify=verify)


def _context(ca: Path | None, *, verify: bool) -> ssl.SSLContext:
    if verify:
        context = ssl.create_default_context(cafile=ca)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(PROTOCOLS)
    return context
