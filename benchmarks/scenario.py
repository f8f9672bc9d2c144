"""What is asked of every contender. How a contender is set up for it does not go in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.token import TOKEN

Streams = Literal["websocket", "events"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of traffic: what the clients ask for, and what the backend answers.

    `filtered` wants a header set each way (see `REQUEST_HEADER`), `chained` a whole chain around that: request id, a
    token that is verified, rate limit, circuit breaker, retry and timeout. `routes` wants so many routes, of which the
    last one takes the probe. `streams` are no requests but messages of long-lived connections, one at a time on each.
    """

    name: str
    title: str
    answer_bytes: int = 100
    upload_bytes: int = 0
    connections: int = 32
    tls: bool = False
    filtered: bool = False
    chained: bool = False
    routes: int = 1
    streams: Streams | None = None
    at: str = "/hello"

    @property
    def answer(self) -> bytes:
        return b"x" * self.answer_bytes

    @property
    def path(self) -> str:
        """The path of the probe, and of all requests when there is one route."""
        return self.at if self.routes == 1 else f"/r{self.routes - 1}/hello"

    @property
    def headers(self) -> dict[str, str]:
        """What clients send beside the usual."""
        return {"authorization": f"Bearer {TOKEN}"} if self.chained else {}

    @property
    def unit(self) -> str:
        return {None: "requests", "websocket": "messages", "events": "events"}[self.streams]


REQUEST_HEADER = ("x-tenant", "acme")
"""What the filter sets in the request; the backend sends what it saw back as `x-seen`."""

RESPONSE_HEADER = ("x-stamp", "1")

RECEIVED_HEADER = "x-received"
"""Where the backend says how many bytes it has read of an upload, head included."""

PLAIN = Scenario(name="plain", title="plain proxy, GET, answers of 100 bytes, 32 keep-alive connections")
FILTER = Scenario(name="filter", title="one filter of one's own that sets a header each way", filtered=True)
CHAIN = Scenario(
    name="chain",
    title="full chain: request id, token, rate limit, circuit breaker, retry, timeout, a filter of one's own",
    filtered=True,
    chained=True,
)
CONNECTIONS = Scenario(name="connections", title="1,000 keep-alive connections, all busy", connections=1000)
LARGE = Scenario(name="large", title="answers of 1 MiB", answer_bytes=1 << 20)
UPLOAD = Scenario(name="upload", title="POST of 10 KiB, answers of 100 bytes", upload_bytes=10 << 10)
TLS = Scenario(name="tls", title="TLS to the client, keep-alive, ECDSA P-256", tls=True)
WEBSOCKET = Scenario(
    name="websocket", title="WebSocket: messages of 100 bytes to an echo and back", streams="websocket"
)
EVENTS = Scenario(name="events", title="server-sent events of 100 bytes, one chunk each", streams="events")
