"""What a plugin's tests need: requests, a fake upstream and service, a manual clock, conformance checks, a gateway."""

from __future__ import annotations

from meshwright_sdk.testing.build import build
from meshwright_sdk.testing.checks import (
    check_balancer,
    check_config_source,
    check_discovery,
    check_filter,
    check_policy,
    check_router,
    check_store,
)
from meshwright_sdk.testing.clock import ManualClock
from meshwright_sdk.testing.files import import_file
from meshwright_sdk.testing.gateway import RunningGateway, gateway
from meshwright_sdk.testing.messages import make_endpoint, make_request
from meshwright_sdk.testing.service import FakeService
from meshwright_sdk.testing.upstream import FakeUpstream

__all__ = [
    "FakeService",
    "FakeUpstream",
    "ManualClock",
    "RunningGateway",
    "build",
    "check_balancer",
    "check_config_source",
    "check_discovery",
    "check_filter",
    "check_policy",
    "check_router",
    "check_store",
    "gateway",
    "import_file",
    "make_endpoint",
    "make_request",
]
