"""What the end-to-end tests share: an upstream, and a gateway's file in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.gateway_process import GatewayFile, Upstream, running_upstream

YAML = """\
listeners:
  - {name: web, bind: "127.0.0.1:0"}
admin: {bind: "127.0.0.1:0"}
routes:
  - {name: all, match: {path: "/*"}, to: back}
services:
  back: {endpoints: ["UPSTREAM"]}
"""


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running_upstream() as upstream:
        yield upstream


@pytest.fixture
def file(tmp_path: Path, upstream: Upstream) -> GatewayFile:
    return GatewayFile(tmp_path / "gateway.yaml", YAML.replace("UPSTREAM", upstream.url))
