"""`Request`: one HTTP request on its way through the chain; parsing and serialising go elsewhere."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

from meshwright_sdk.body import Body
from meshwright_sdk.errors import DownstreamError
from meshwright_sdk.headers import Headers, RawHeaders
from meshwright_sdk.priority import NORMAL_PRIORITY

if TYPE_CHECKING:
    from meshwright_sdk.balancing import Endpoint
    from meshwright_sdk.identity import Identity
    from meshwright_sdk.response import Response
    from meshwright_sdk.retry_budget import RetryBudget
    from meshwright_sdk.routing import Route


class Address(NamedTuple):
    """A peer's network address; a Unix socket has an empty host and port 0."""

    host: str
    port: int


class Interim(Protocol):
    """Where the interim responses to a request go (RFC 9110, section 15.2)."""

    def inform(self, status: int, fields: RawHeaders) -> None:
        """Pass on a 1xx response, with lower-case names; too late for it, nothing happens."""


class Request:
    """One request, mutable on its way inwards.

    `path` is normalised once, still percent-encoded, and is what the router, every filter and the
    upstream see; assign to it to rewrite. `query` is the raw query without the question mark. `host` is
    the lower-case name the client asked for, without port. `upgrade` is the lower-case protocol of an
    Upgrade request, or empty. `answers` holds every response a service gave to this request, so that none is
    left open when a filter fails. `interim` is where 1xx responses go, or None for a client that gets none.
    `state` belongs to the filters; its keys should carry the plugin's name.

    What one attempt tells the next: `endpoint` is the one that the last attempt was given, `avoid` are those that
    a service passes over while it has others, `budget` bounds attempts beyond the first, and belongs to the outermost
    filter that makes them. `deadline` is the time, of the clock's `monotonic`, at which an answer is of no use any
    more; it is not sent to a service after that. `priority` says what matters more under load: 0 to 9, and 5 until a
    filter says otherwise.
    """

    __slots__ = (
        "_cookies",
        "_query_params",
        "_state",
        "answers",
        "avoid",
        "body",
        "budget",
        "client",
        "deadline",
        "endpoint",
        "headers",
        "host",
        "http_version",
        "id",
        "identity",
        "interim",
        "method",
        "path",
        "path_params",
        "priority",
        "query",
        "route",
        "scheme",
        "upgrade",
    )

    def __init__(  # noqa: PLR0913 - a request has this many parts, and is made in two places
        self,
        method: str,
        path: str,
        query: str,
        headers: Headers,
        body: Body,
        *,
        host: str = "",
        scheme: str = "http",
        http_version: str = "1.1",
        client: Address | None = None,
        upgrade: str = "",
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.host = host
        self.scheme = scheme
        self.http_version = http_version
        self.client = client
        self.upgrade = upgrade
        self.id = ""
        self.answers: list[Response] | None = None
        self.interim: Interim | None = None
        self.route: Route | None = None
        self.identity: Identity | None = None
        self.path_params: dict[str, str] = {}
        self.endpoint: Endpoint | None = None
        self.avoid: tuple[Endpoint, ...] = ()
        self.budget: RetryBudget | None = None
        self.deadline: float | None = None
        self.priority = NORMAL_PRIORITY
        self._state: dict[str, Any] | None = None
        self._query_params: tuple[str, dict[str, str]] | None = None
        self._cookies: tuple[bytes, dict[str, str]] | None = None

    @property
    def target(self) -> str:
        """The origin-form target: the path and, where there is one, the query (RFC 9112, section 3.2.1)."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def url(self) -> str:
        """The absolute URL as the client addressed it; filters' rewrites show in it."""
        authority = self.headers.get_bytes(b"host")
        host = authority.decode("latin-1") if authority else self.host
        return f"{self.scheme}://{host}{self.target}"

    @property
    def state(self) -> dict[str, Any]:
        """A dictionary for what filters tell each other; made on first use."""
        if self._state is None:
            self._state = {}
        return self._state

    @property
    def query_params(self) -> dict[str, str]:
        """The decoded query, the last of equal names; parsed on first use and after `query` changed.

        Raises DownstreamError for more than 1000 parameters.
        """
        if self._query_params is None or self._query_params[0] != self.query:
            try:
                pairs = parse_qsl(self.query, keep_blank_values=True, max_num_fields=1000)
            except ValueError:
                raise DownstreamError("query: expected at most 1000 parameters; got more") from None
            self._query_params = (self.query, dict(pairs))
        return self._query_params[1]

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies the client sent, the first of equal names (RFC 6265, section 5.4); parsed on first use."""
        raw = b"; ".join(value for name, value in self.headers.raw if name == b"cookie")
        if self._cookies is None or self._cookies[0] != raw:
            self._cookies = (raw, _parse_cookies(raw.decode("latin-1")))
        return self._cookies[1]

    def copy(self) -> Request:
        """Return the same request for an attempt beside this one: headers and what is assigned to it are its own.

        Body, `state` and `answers` are those of this request, so that its answers are closed with this one's.
        """
        if self.answers is None:
            self.answers = []
        other = copy(self)
        other.headers = self.headers.copy()
        other._state = self.state
        return other

    def apart(self) -> Request:
        """Return the same request for an errand of its own: nobody waits for it, and nothing of it reaches the client.

        It has no deadline, no budget and no endpoints to avoid. Whoever sends it closes its answer.
        """
        other = self.copy()
        other.answers = []
        other.interim = other.deadline = other.budget = other.endpoint = None
        other.avoid = ()
        return other

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.host}{self.path}>"


def _parse_cookies(text: str) -> dict[str, str]:
    cookies: dict[str, str] = {}
    for part in text.split(";"):
        name, separator, value = part.partition("=")
        if separator:
            cookies.setdefault(name.strip(), value.strip().strip('"'))
    return cookies
