"""`Exchange`: one request on a client's connection, from its head to its response's end; reading it goes elsewhere."""

from __future__ import annotations

from typing import Protocol

from meshwright.http1.rules import Head
from meshwright.http1.stream import BodyStream
from meshwright_sdk.body import Body
from meshwright_sdk.request import Request

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Input(Protocol):
    """The reading side of a client's connection, as the streams that it feeds see it."""

    def pause_input(self) -> None:
        """Stop reading."""

    def resume_input(self) -> None:
        """Read on."""

    def write(self, data: bytes) -> None:
        """Send to the client."""

    def abort(self) -> None:
        """Close the connection at once."""


class Exchange:
    """One request being read, and what its response must know about it.

    `started`: its turn has been queued. `complete`: all of it was read. `answered`: its response's head was
    written, or is about to be.
    """

    __slots__ = ("_input", "answered", "chunks", "complete", "head", "keep_alive", "request", "started", "stream")

    def __init__(self, request: Request, head: Head, source: Input, *, keep_alive: bool) -> None:
        self.request = request
        self.head = head
        self.keep_alive = keep_alive
        self.chunks: list[bytes] = []
        self.stream: BodyStream | None = None
        self.complete = False
        self.started = False
        self.answered = False
        self._input = source

    def open_stream(self) -> None:
        """Have the request's body stream: not all of it came with the head."""
        stream = self.stream = BodyStream(self)
        for data in self.chunks:
            stream.feed(data)
        self.request.body = Body.stream(stream, length=self.head.length)

    # The flow of the request's body

    def demand(self) -> None:
        """Tell a client that waits for it to send its body, unless it has its answer (RFC 9110, section 10.1.1)."""
        if self.head.expects_continue and self.request.http_version == "1.1" and not (self.complete or self.answered):
            self._input.write(CONTINUE)

    def pause(self) -> None:
        self._input.pause_input()

    def resume(self) -> None:
        self._input.resume_input()

    def abandon(self) -> None:
        """Read on and throw away; the connection closes after the response."""
        self._input.resume_input()


class TunnelFlow:
    """How the stream of what a client sends into a tunnel governs the connection it comes from."""

    __slots__ = ("_input",)

    def __init__(self, source: Input) -> None:
        self._input = source

    def demand(self) -> None:
        """Nothing to do: the client sends when it likes."""

    def pause(self) -> None:
        self._input.pause_input()

    def resume(self) -> None:
        self._input.resume_input()

    def abandon(self) -> None:
        self._input.abort()
