"""`Exchange`: one request on a client's connection, from its head to its response's end; reading it goes elsewhere."""

from __future__ import annotations

from typing import Protocol

from meshwright.http1.framing import ContentReader
from meshwright.http1.rules import STATUS_LINES, Head, trailers_of, write_message
from meshwright.http1.stream import BodyStream
from meshwright_sdk.body import Body
from meshwright_sdk.errors import BodyTooLargeError, MeshwrightError
from meshwright_sdk.headers import RawHeaders
from meshwright_sdk.request import Request

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Input(Protocol):
    """A client's connection, as the streams that it feeds see it."""

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

    `content` reads its content, or is None when there is none. `complete`: all of it was read. `answered`: its
    response's head was written, or is about to be.
    """

    __slots__ = (
        "_input",
        "answered",
        "complete",
        "content",
        "head",
        "keep_alive",
        "received",
        "request",
        "stream",
        "upgrade",
    )

    def __init__(self, request: Request, head: Head, source: Input, *, keep_alive: bool) -> None:
        self.request = request
        self.head = head
        self.keep_alive = keep_alive
        self.upgrade = request.upgrade  # what the client asked for, whatever a filter makes of it
        self.content: ContentReader | None = None
        self.stream: BodyStream | None = None
        self.received = 0
        self.complete = True
        self.answered = False
        self._input = source

    def begin_content(self, content: ContentReader, data: bytes, limit: int) -> bytes:
        """Read the content that came with the head; return what follows it. Raises GrammarError, BodyTooLargeError.

        When that is all of it the request's body is known whole, else it streams.
        """
        self.content = content
        piece, rest = content.feed(data)
        self._count(len(piece), limit)
        if content.complete and not content.trailers:
            self.request.body = Body(piece)
            return rest
        stream = self.stream = BodyStream(self)
        self.request.body = Body.stream(stream, length=self.head.length)
        self.complete = False
        self._take(piece, stream)
        return rest

    def feed(self, data: bytes, limit: int) -> bytes:
        """Read on; return what follows the content. Raises GrammarError, BodyTooLargeError."""
        assert self.content is not None
        assert self.stream is not None
        piece, rest = self.content.feed(data)
        self._count(len(piece), limit)
        self._take(piece, self.stream)
        return rest

    def _count(self, size: int, limit: int) -> None:
        self.received += size
        if self.received > limit:
            raise BodyTooLargeError(f"body: expected at most {limit} bytes; got more")

    def _take(self, piece: bytes, stream: BodyStream) -> None:
        assert self.content is not None
        if self.content.complete:
            self.complete = True  # first: whoever takes the piece may look
        if piece:
            stream.feed(piece)
        if self.complete:
            stream.end(trailers_of(self.content.trailers, self.head))

    @property
    def behind(self) -> bool:
        """Whether there is content that came and was not read yet: it is fed on, with nothing."""
        return self.content is not None and self.content.behind

    @property
    def awaited(self) -> bool:
        """Whether the client has no reason to hold its content back."""
        return (
            not self.head.expects_continue or bool(self.received) or (self.stream is not None and self.stream.demanded)
        )

    def fail(self, error: MeshwrightError) -> None:
        """Tell whoever reads the request's content that no more will come."""
        if self.stream is not None:
            self.stream.fail(error)

    def inform(self, status: int, fields: RawHeaders) -> None:
        """Pass an interim response on, unless the final one has begun (RFC 9110, section 15.2)."""
        if not self.answered and self.request.http_version == "1.1":
            self._input.write(write_message(STATUS_LINES[status], fields))

    # The flow of the request's body

    def demand(self) -> None:
        """Tell a client that waits for it to send its body, unless it has its answer (RFC 9110, section 10.1.1)."""
        if self.head.expects_continue and self.request.http_version == "1.1" and not (self.received or self.answered):
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
