"""What every test shares. Fixtures that one folder needs go into a conftest of that folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.ports import release_ports
from tests.redis_servers import end_those_left

# How long one example takes says more about the load of the machine than about the code.
settings.register_profile("meshwright", deadline=None)
settings.load_profile("meshwright")


@pytest.fixture(autouse=True)
def no_server_outlives_its_test() -> Iterator[None]:
    yield
    left = end_those_left()
    release_ports()
    assert left == []
