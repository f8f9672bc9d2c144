"""`ServerSettings`: what one listener sets for its connections; where the values come from goes elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshwright.http1.forwarding import DEFAULT_FORWARDING, Forwarding

if TYPE_CHECKING:
    from meshwright.config.model import ListenerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """The bounds that one listener sets to its clients; sizes in bytes, times in seconds.

    `header_bytes` is of a whole head, its first line included. `body_rate_per_s` is the least average rate of a
    body that the gateway is ready to read, of which `body_grace_s` are not counted. `half_close_s` is how long a
    request goes on without anything being sent to a client that has closed its half of the connection.
    """

    header_bytes: int = 64 * 1024
    headers: int = 100
    target_bytes: int = 8 * 1024
    body_bytes: int = 10 * 1024**3
    header_timeout_s: float = 30.0
    idle_timeout_s: float = 75.0
    body_timeout_s: float = 60.0
    body_rate_per_s: float = 100.0
    body_grace_s: float = 20.0
    half_close_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What the connections of one listener have in common."""

    limits: ServerLimits = ServerLimits()
    forwarding: Forwarding = DEFAULT_FORWARDING

    @classmethod
    def of(cls, config: ListenerConfig) -> ServerSettings:
        """Return what a listener's configuration asks for."""
        limits = config.limits
        return cls(
            limits=ServerLimits(
                header_bytes=int(limits.header_size),
                headers=limits.headers,
                target_bytes=int(limits.target_length),
                body_bytes=int(limits.body_size),
                header_timeout_s=limits.header_timeout,
                idle_timeout_s=limits.idle_timeout,
                body_timeout_s=limits.body_timeout,
                body_rate_per_s=limits.body_rate,
                body_grace_s=limits.body_grace,
                half_close_s=limits.half_close_timeout,
            ),
            forwarding=Forwarding.of(config),
        )


DEFAULT_SETTINGS = ServerSettings()
