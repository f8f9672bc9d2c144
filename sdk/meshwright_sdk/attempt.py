"""`Attempt` and `AttemptObserver`: one try at an endpoint, and who learns of it; deciding on it goes elsewhere."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING

from meshwright_sdk.errors import (
    ConnectError,
    DeadlineError,
    ProtocolError,
    ResetError,
    UpstreamTimeoutError,
)
from meshwright_sdk.timeouts import EXPIRED

if TYPE_CHECKING:
    from meshwright_sdk.balancing import Endpoint
    from meshwright_sdk.request import Request
    from meshwright_sdk.response import Response

_ENDPOINT_FAULTS = (ConnectError, ResetError, ProtocolError, UpstreamTimeoutError)
_SERVER_ERROR = 500


class Attempt:
    """One try of a request at one endpoint, from the pick to the head of the response.

    `began` is in seconds of the clock's `monotonic`, and `seconds` how long it took. Exactly one of `response` and
    `error` is set when it has ended. `error` is a CancelledError when nobody waited any longer.
    """

    __slots__ = ("began", "endpoint", "error", "request", "response", "seconds")

    def __init__(self, endpoint: Endpoint, request: Request, began: float) -> None:
        self.endpoint = endpoint
        self.request = request
        self.began = began
        self.seconds = 0.0
        self.response: Response | None = None
        self.error: BaseException | None = None

    @property
    def failed(self) -> bool:
        """Whether the endpoint is to blame: no connection, none or no valid answer in time, or a status of 5xx.

        In time is also what a filter bounds by `Timeouts.until`; a deadline that came with the request blames nobody.
        """
        if self.response is not None:
            return self.response.status >= _SERVER_ERROR
        if isinstance(self.error, CancelledError):
            return self.error.args == (EXPIRED,)
        return isinstance(self.error, _ENDPOINT_FAULTS) and not isinstance(self.error, DeadlineError)

    @property
    def answered(self) -> bool:
        """Whether the endpoint gave an answer that is no server error."""
        return self.response is not None and self.response.status < _SERVER_ERROR


class AttemptObserver:
    """Learns of the endpoints of one service and of each attempt at them; nothing here may wait.

    A method that a class does not define costs nothing. What one raises is logged and goes no further.
    """

    def added(self, endpoint: Endpoint) -> None:
        """Take note of an endpoint that is new; called before the first attempt at it."""

    def removed(self, endpoint: Endpoint) -> None:
        """Take note of an endpoint that has gone; attempts at it may still end."""

    def began(self, attempt: Attempt) -> None:
        """Take note of an attempt; `ended` follows, whatever happens."""

    def ended(self, attempt: Attempt) -> None:
        """Take note of what became of an attempt; most fail or answer, some are cancelled."""
