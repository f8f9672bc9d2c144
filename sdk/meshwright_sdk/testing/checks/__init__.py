"""Conformance checks, one for each plugin kind: what a plugin's author runs against their own plugin."""

from __future__ import annotations

from meshwright_sdk.testing.checks.balancers import check_balancer
from meshwright_sdk.testing.checks.config_sources import check_config_source
from meshwright_sdk.testing.checks.discoveries import check_discovery
from meshwright_sdk.testing.checks.filters import check_filter
from meshwright_sdk.testing.checks.policies import check_policy
from meshwright_sdk.testing.checks.routers import check_router
from meshwright_sdk.testing.checks.stores import check_store

__all__ = [
    "check_balancer",
    "check_config_source",
    "check_discovery",
    "check_filter",
    "check_policy",
    "check_router",
    "check_store",
]
