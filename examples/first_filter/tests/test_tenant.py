"""The tests of `filters/tenant.py`: no gateway, no socket, no mock."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import ValidationError

from meshwright_sdk.testing import FakeUpstream, build, import_file, make_request

Tenant = import_file(Path(__file__).parent.parent / "filters" / "tenant.py").Tenant


def test_the_service_is_told_the_tenant() -> None:
    upstream = FakeUpstream()
    tenant = build(Tenant, known=["acme"])

    response = asyncio.run(tenant(make_request(url="http://acme.example.com/"), upstream))

    assert response.status == 200
    assert upstream.requests[0].headers["x-tenant"] == "acme"


def test_an_unknown_tenant_never_reaches_the_service() -> None:
    upstream = FakeUpstream()
    tenant = build(Tenant, known=["acme"])

    response = asyncio.run(tenant(make_request(url="http://evil.example.com/"), upstream))

    assert response.status == 403
    assert upstream.requests == []


def test_options_need_a_tenant() -> None:
    with pytest.raises(ValidationError, match="known"):
        build(Tenant, known=[])
