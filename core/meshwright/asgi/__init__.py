"""ASGI both ways: the gateway as an application, an application as a service; no policy goes in here."""

from meshwright.asgi.application import GatewayApp
from meshwright.asgi.service import AsgiService

__all__ = ["AsgiService", "GatewayApp"]
