from __future__ import annotations

import asyncio

import pytest

from meshwright_sdk import (
    Attempt,
    ConnectError,
    DeadlineError,
    NoEndpointsError,
    OverloadError,
    ProtocolError,
    ResetError,
    Response,
    UpstreamTimeoutError,
)
from meshwright_sdk.testing import make_endpoint, make_request
from meshwright_sdk.timeouts import DEADLINE, EXPIRED


@pytest.mark.parametrize(
    ("outcome", "failed", "answered"),
    [
        (200, False, True),
        (404, False, True),
        (499, False, True),
        (500, True, False),
        (503, True, False),
        (ConnectError(), True, False),
        (ResetError(), True, False),
        (ProtocolError(), True, False),
        (UpstreamTimeoutError(), True, False),
        (DeadlineError(), False, False),
        (OverloadError(), False, False),
        (NoEndpointsError(), False, False),
        (asyncio.CancelledError(), False, False),
        (asyncio.CancelledError(EXPIRED), True, False),
        (asyncio.CancelledError(DEADLINE), False, False),
        (RuntimeError(), False, False),
    ],
)
def test_only_what_the_endpoint_is_to_blame_for_is_a_failure(
    outcome: int | BaseException, failed: bool, answered: bool
) -> None:
    attempt = Attempt(make_endpoint(), make_request(), 0.0)
    if isinstance(outcome, int):
        attempt.response = Response(outcome)
    else:
        attempt.error = outcome

    assert (attempt.failed, attempt.answered) == (failed, answered)
