"""The error tree: whose fault, which status, may it be tried again; no rendering and no logging goes in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from meshwright_sdk.headers import Headers


class MeshwrightError(Exception):
    """Base of every error the gateway raises on purpose.

    Subclasses say whose fault it is. `status` is the HTTP status the client gets, `code` a stable
    machine-readable word, `retryable` whether the same request may succeed at another endpoint.
    `detail` is sent to the client, so it never holds a secret. `headers` are added to the answer, such as
    `retry-after`; a filter that the error passes on its way out may add to them (see `headers_of`).
    """

    status: int = 500
    code: str = "internal"
    retryable: bool = False
    fault: ClassVar[str] = "gateway"

    def __init__(
        self,
        detail: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        retryable: bool | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = Headers(headers)
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable


class ConfigError(MeshwrightError):
    """The configuration is wrong. `problems` holds every problem found in the one run, in file order."""

    code = "configuration"
    fault = "configuration"

    def __init__(self, problems: Sequence[object]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class PluginError(MeshwrightError):
    """A plugin broke its contract or raised what it should have handled."""

    code = "plugin_failed"
    fault = "plugin"


class DownstreamError(MeshwrightError):
    """The client sent what cannot be served."""

    status = 400
    code = "bad_request"
    fault = "downstream"


class NoRouteError(DownstreamError):
    """No route matches the request."""

    status = 404
    code = "no_route"


class BodyTooLargeError(DownstreamError):
    """A body is longer than the limit of whoever reads it (RFC 9110, section 15.5.14)."""

    status = 413
    code = "body_too_large"


class TooManyRequestsError(DownstreamError):
    """The client sent more than it may (RFC 6585, section 4); `retry_after_s` says when to come again."""

    status = 429
    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after_s: int, code: str | None = None) -> None:
        super().__init__(detail, code=code, headers={"retry-after": str(retry_after_s)})


class ClientGoneError(DownstreamError):
    """The client closed its connection before the message was complete; nobody sees the status."""

    status = 499
    code = "client_gone"


class AbortError(MeshwrightError):
    """Break the client's connection off without an answer, as a broken network does; a filter plays one with it.

    Its status is none that a response can have. Under a foreign ASGI server, which answers whatever was not begun, the
    client gets a head whose body never comes.
    """

    status = -1
    code = "aborted"


class UpstreamError(MeshwrightError):
    """The upstream failed to answer, or answered what cannot be passed on."""

    status = 502
    code = "upstream_failed"
    retryable = True
    fault = "upstream"


class ConnectError(UpstreamError):
    """No connection to the endpoint could be made, so it has seen nothing of the request."""

    status = 502
    code = "upstream_connect_failed"


class ResetError(UpstreamError):
    """The endpoint closed the connection before its answer was complete."""

    code = "upstream_reset"


class ProtocolError(UpstreamError):
    """The endpoint's answer is not valid HTTP."""

    code = "upstream_protocol_error"
    retryable = False


class UpstreamTimeoutError(UpstreamError):
    """The endpoint did not answer in time."""

    status = 504
    code = "upstream_timeout"


class DeadlineError(UpstreamTimeoutError):
    """The time that the request had is over; another endpoint would be too late as well."""

    code = "deadline_exceeded"
    retryable = False


class NoEndpointsError(UpstreamError):
    """The service has no endpoint that could take the request."""

    status = 503
    code = "no_endpoints"
    retryable = False


class OverloadError(UpstreamError):
    """A bound of the gateway's own (pending requests, connections) is reached."""

    status = 503
    code = "overloaded"
    retryable = False


class CircuitOpenError(UpstreamError):
    """A circuit breaker is open: the service is not asked, so that it may recover."""

    status = 503
    code = "circuit_open"
    retryable = False


class StoreError(MeshwrightError):
    """The store cannot be reached, did not answer in time, or too many calls are waiting for it.

    What the call was to do may have been done. `detail` goes to the log alone.
    """

    status = 503
    code = "store_unavailable"
    fault = "store"
