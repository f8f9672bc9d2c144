"""A response as bytes to the client: its head, and the sink its streamed body is piped to; no reading goes in here."""

from __future__ import annotations

from functools import lru_cache
from time import time
from typing import Protocol

from meshwright.http1.exchange import Exchange
from meshwright.http1.rules import STATUS_LINES, MessageWriter, chunk, date_at, last_chunk
from meshwright_sdk.errors import PluginError
from meshwright_sdk.response import Response


class Output(Protocol):
    """The writing side of a client's connection, as a response's body sees it."""

    def write(self, data: bytes) -> None:
        """Send to the client."""

    def body_sent(self, exchange: Exchange, response: Response) -> None:
        """The response is complete."""

    def body_failed(self, exchange: Exchange, response: Response, error: BaseException) -> None:
        """The response broke off."""


def write_response(
    writer: MessageWriter, exchange: Exchange, response: Response, *, no_body: bool, via: bytes, content: bytes = b""
) -> bytes:
    """Return the head of a response, framed by its body, and the content that leaves with it.

    The fields' own framing is never written. `via` is this gateway's name in Via, for responses that it passes on.
    """
    version = exchange.request.http_version
    headers = response.headers
    lines: list[bytes] = []
    if response.endpoint is None:
        if headers.get_bytes(b"date") is None:
            lines.append(date_line(int(time())))
    elif via:
        lines.append(b"via: 1.1 " + via)
    length = response.body.length
    if no_body:
        declared = headers.get_bytes(b"content-length")
        if declared is not None and response.status != 204:
            lines.append(b"content-length: " + declared)
    elif length is not None:
        lines.append(b"content-length: %d" % length)
    elif version == "1.1":
        lines.append(b"transfer-encoding: chunked")
    if not exchange.keep_alive:
        lines.append(b"connection: close")
    elif version != "1.1":
        lines.append(b"connection: keep-alive")
    return writer.write(STATUS_LINES[response.status], headers.raw, lines, content)


@lru_cache(maxsize=1)
def date_line(second: int) -> bytes:
    """Return the Date field of that second; made once for all the answers in it."""
    return b"date: " + date_at(second)


class ResponseSink:
    """Writes a streamed response to the client, framed; the head leaves with the first chunk."""

    __slots__ = ("_chunked", "_exchange", "_head", "_left", "_output", "_response")

    def __init__(self, output: Output, exchange: Exchange, response: Response, head: bytes) -> None:
        self._output = output
        self._exchange = exchange
        self._response = response
        self._head = head
        self._left = response.body.length
        self._chunked = self._left is None and exchange.request.http_version == "1.1"

    def flush_head(self) -> None:
        """Send the head now: nothing of the body is here yet."""
        head, self._head = self._head, b""
        if head:
            self._output.write(head)

    def write(self, data: bytes) -> None:
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self.fail(PluginError("response body: longer than its content-length"))
                return
        if self._chunked:
            data = chunk(data)
        head, self._head = self._head, b""
        self._output.write(head + data if head else data)

    def end(self) -> None:
        if self._left:
            self.fail(PluginError("response body: shorter than its content-length"))
            return
        if self._chunked:
            self._output.write(self._head + last_chunk(self._response.body.trailers.raw))
            self._head = b""
        else:
            self.flush_head()
        self._output.body_sent(self._exchange, self._response)

    def fail(self, error: BaseException) -> None:
        self._output.body_failed(self._exchange, self._response, error)


class TunnelSink:
    """Writes what comes out of a tunnel to the client, as it is."""

    __slots__ = ("_exchange", "_output", "_response")

    def __init__(self, output: Output, exchange: Exchange, response: Response) -> None:
        self._output = output
        self._exchange = exchange
        self._response = response

    def write(self, data: bytes) -> None:
        self._output.write(data)

    def end(self) -> None:
        self._output.body_sent(self._exchange, self._response)

    def fail(self, error: BaseException) -> None:
        self._output.body_failed(self._exchange, self._response, error)
