"""What the tests of the processes share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def what_reloads_made_is_looked_at_again() -> Iterator[None]:
    """Undo what a reload does to the collector, so that what a later test leaves open is found."""
    yield
    gc.unfreeze()
