from __future__ import annotations

from meshwright.config import GatewayConfig
from meshwright.http1.settings import ServerLimits, ServerSettings


def test_a_listener_without_options_has_the_limits_of_a_connection_without_settings() -> None:
    (listener,) = GatewayConfig().listeners

    assert ServerSettings.of(listener).limits == ServerLimits()
