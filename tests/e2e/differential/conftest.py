"""The proxies that the differential tests share: one of each for a whole file."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.differential.peers import Peer
from tests.e2e.differential.peers import peers as running_peers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Peer]]:
    """Give every proxy that is installed, running."""
    async with running_peers(tmp_path_factory.mktemp("proxies")) as found:
        yield found
