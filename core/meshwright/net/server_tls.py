"""`ServerTls`: the TLS of one listener, made of files and made again when they change; sockets go elsewhere."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from meshwright.net.certificate import Certificate
from meshwright.net.pem_files import load_pair
from meshwright.net.watched_files import WatchedFiles

if TYPE_CHECKING:
    from meshwright.config.model import TlsConfig

logger = logging.getLogger("meshwright.tls")

PROTOCOLS = ["http/1.1"]
Choose = Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the files held: the context for new connections, and its certificates by the file's name in the YAML."""

    context: ssl.SSLContext
    certificates: Mapping[str, Certificate]


class ServerTls:
    """`loaded` is replaced as a whole: a handshake takes the context that is there when it begins.

    Making one raises OSError (ssl.SSLError is one) and ValueError for files that cannot be used.
    """

    def __init__(self, config: TlsConfig, base_dir: Path) -> None:
        self.config = config
        self._base_dir = base_dir
        self._files = WatchedFiles(base_dir / name for name in config.files)
        self._fault = ""
        self.loaded = _load(config, base_dir)

    def context(self) -> ssl.SSLContext:
        """Return the context for a connection that is taken now."""
        return self.loaded.context

    def is_current(self) -> bool:
        """Return whether the files are those that were looked at last. Does I/O."""
        return self._files.are_known()

    def renew(self, place: str) -> bool:
        """Load the files again if they changed, and return whether they are in use; log it either way. Does I/O.

        Files that cannot be used are tried again each time and logged once, and what was loaded goes on.
        """
        if not self._files.have_changed():
            return False
        try:
            self.loaded = _load(self.config, self._base_dir)
        except (OSError, ValueError) as error:
            self._files.could_not_be_used()
            if str(error) != self._fault:
                self._fault = str(error)
                logger.error("%s: the changed certificates cannot be used, those before go on: %s", place, error)
            return False
        self._fault = ""
        for name, certificate in self.loaded.certificates.items():
            until = datetime.fromtimestamp(certificate.not_after, UTC)
            logger.info("%s: certificate %s is renewed, valid until %s", place, name, until.isoformat(" ", "seconds"))
        return True


def _load(config: TlsConfig, base_dir: Path) -> Loaded:
    contexts, certificates = [], []
    for pair in config.pairs:
        context = _context(config, base_dir)
        key = None if pair.key is None else base_dir / pair.key
        certificates.append(load_pair(context, base_dir / pair.certificate, key))
        contexts.append(context)
    if len(contexts) > 1:
        contexts[0].sni_callback = _chooser([each.names for each in certificates], [None, *contexts[1:]])
    return Loaded(contexts[0], {pair.certificate: each for pair, each in zip(config.pairs, certificates, strict=True)})


def _context(config: TlsConfig, base_dir: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[config.min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(PROTOCOLS)
    if config.client_ca is not None:
        required = config.client_certificate == "require"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        context.load_verify_locations(base_dir / config.client_ca)
    return context


def _chooser(names: Sequence[Sequence[str]], contexts: Sequence[ssl.SSLContext | None]) -> Choose:
    """Return what chooses the context by the name a client asks for (RFC 6066, section 3); None is the present one.

    An exact name comes before a wildcard, which stands for one label (RFC 9525, section 6.3); of several
    certificates with the same name the first is taken.
    """
    by_name: dict[str, ssl.SSLContext | None] = {}
    for its_names, context in zip(names, contexts, strict=True):
        for name in its_names:
            by_name.setdefault(name, context)

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        asked = (name or "").lower()
        if asked not in by_name:
            asked = f"*.{asked.partition('.')[2]}"
        chosen = by_name.get(asked)
        if chosen is not None:
            connection.context = chosen

    return choose
