"""What a plugin's tests need: requests, a fake upstream, a clock to turn by hand, conformance checks, a gateway."""

from meshwright_sdk.testing.build import build
from meshwright_sdk.testing.clock import ManualClock
from meshwright_sdk.testing.files import import_file
from meshwright_sdk.testing.gateway import TestGateway, gateway
from meshwright_sdk.testing.messages import make_endpoint, make_request
from meshwright_sdk.testing.upstream import FakeUpstream

__all__ = [
    "FakeUpstream",
    "ManualClock",
    "TestGateway",
    "build",
    "gateway",
    "import_file",
    "make_endpoint",
    "make_request",
]
