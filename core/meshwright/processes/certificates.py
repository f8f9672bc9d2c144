"""`Certificates`: keeps the certificates of listeners new, and tells when they expire; loading them goes elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from meshwright.net.certificate import Certificate
from meshwright.net.pem_files import SOON_S
from meshwright.net.server_tls import ServerTls
from meshwright_sdk import Clock, Metrics, SystemClock

logger = logging.getLogger("meshwright.tls")

LOOK_S = 1.0
REMIND_S = 86_400.0
"""How often a certificate that expires soon is warned of."""

EXPIRY = "meshwright_certificate_expiry_timestamp_seconds"
Key = tuple[str, str]
"""The name of a listener, and the file of a certificate as the YAML has it."""


class Certificates:
    """Looks at the files once a second, in a thread: they may be on a file system that hangs."""

    def __init__(self, metrics: Metrics, worker: str, clock: Clock | None = None) -> None:
        self._metrics = metrics
        self._worker = worker
        self._clock = clock or SystemClock()
        self._listeners: Mapping[str, ServerTls] = {}
        self._shown: set[Key] = set()
        self._warned: dict[Key, float] = {}

    def follow(self, listeners: Mapping[str, ServerTls]) -> None:
        """Look after these listeners, by name, in place of those before."""
        self._listeners = dict(listeners)
        self._tell()

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Load what has changed, and warn of what expires soon."""
        for name, tls in tuple(self._listeners.items()):
            await asyncio.to_thread(tls.renew, f"listener {name}")
        self._tell()

    def _tell(self) -> None:
        present = dict(self._all())
        for gone in self._shown - present.keys():
            self._metrics.remove(EXPIRY, **self._labels(gone))
            self._warned.pop(gone, None)
        self._shown = set(present)
        for key, certificate in present.items():
            help = "When the certificate expires, in seconds since 1970-01-01."
            self._metrics.gauge(EXPIRY, help, None, **self._labels(key)).value = certificate.not_after
            self._warn(key, certificate)

    def _all(self) -> Iterator[tuple[Key, Certificate]]:
        for name, tls in self._listeners.items():
            for file, certificate in tls.loaded.certificates.items():
                yield (name, file), certificate

    def _labels(self, key: Key) -> dict[str, str]:
        return {"listener": key[0], "certificate": key[1], "worker": self._worker}

    def _warn(self, key: Key, certificate: Certificate) -> None:
        now = self._clock.wall()
        if certificate.not_after - now >= SOON_S:
            self._warned.pop(key, None)
        elif now - self._warned.get(key, -REMIND_S) >= REMIND_S:
            self._warned[key] = now
            when = datetime.fromtimestamp(certificate.not_after, UTC).isoformat(" ", "seconds")
            verb = "has expired" if certificate.not_after < now else "expires soon"
            logger.warning("listener %s: certificate %s %s: %s", key[0], key[1], verb, when)
