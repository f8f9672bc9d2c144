"""The tests of `filters/stamp.py`; a decorated function is called as it stands."""

from __future__ import annotations

import asyncio
from pathlib import Path

from meshwright_sdk.testing import FakeUpstream, import_file, make_request

stamp = import_file(Path(__file__).parent.parent / "filters" / "stamp.py").stamp


def test_request_and_response_are_stamped() -> None:
    upstream = FakeUpstream()

    response = asyncio.run(stamp(make_request(), upstream))

    assert upstream.requests[0].headers["x-stamp"] == "seen"
    assert response.headers["x-stamp"] == "seen"
