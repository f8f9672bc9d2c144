"""A request as bytes to an endpoint: its first line, and the sink its streamed body is piped to; no reading here."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from meshwright.http1.grammar import METHODS
from meshwright.http1.rules import chunk, last_chunk
from meshwright_sdk.body import Body
from meshwright_sdk.errors import PluginError
from meshwright_sdk.request import Request
from meshwright_sdk.tokens import TOKEN

_USUAL_METHODS = {name: raw + b" " for raw, name in METHODS.items()}
_REMEMBERED_LENGTH = 256


class Output(Protocol):
    """The writing side of a connection to an endpoint, as a request's body sees it."""

    def write_content(self, data: bytes) -> None:
        """Send a piece of the request's body, framed."""

    def request_sent(self) -> None:
        """The request is complete."""

    def fail_request(self, error: BaseException) -> None:
        """The request broke off."""


def request_line(request: Request) -> bytes:
    """Return the first line; a filter may have put anything there, and what is no request raises PluginError."""
    target = request.target
    return (_USUAL_METHODS.get(request.method) or _method(request.method)) + (
        _known_target(target) if len(target) <= _REMEMBERED_LENGTH else _target(target)
    )


def _target(target: str) -> bytes:
    """Return the target and the version."""
    if not (target.isascii() and target.isprintable()) or " " in target or target[:1] not in ("/", "*"):
        raise PluginError(f"request target: expected a path and a query, percent-encoded; got {target[:80]!r}")
    return target.encode("ascii") + b" HTTP/1.1"


_known_target = lru_cache(maxsize=4096)(_target)


def _method(method: str) -> bytes:
    if TOKEN.fullmatch(method) is None:
        raise PluginError(f"request method: expected a token (RFC 9110, section 9.1); got {method[:40]!r}")
    return method.encode("ascii") + b" "


class RequestSink:
    """Writes a request's body to its connection, framed."""

    __slots__ = ("_body", "_chunked", "_left", "_output")

    def __init__(self, output: Output, body: Body) -> None:
        self._output = output
        self._body = body
        self._chunked = body.length is None
        self._left = body.length

    def write(self, data: bytes) -> None:
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self.fail(PluginError("request body: longer than its content-length"))
                return
        self._output.write_content(chunk(data) if self._chunked else data)

    def end(self) -> None:
        if self._left:
            self.fail(PluginError("request body: shorter than its content-length"))
            return
        if self._chunked:
            self._output.write_content(last_chunk(self._body.trailers.raw))
        self._output.request_sent()

    def fail(self, error: BaseException) -> None:
        self._output.fail_request(error)
