"""`Recorder`: an upstream that answers every request and keeps them all, read strictly."""

from __future__ import annotations

from tests.core.http1.corpus.case import Seen
from tests.core.http1.corpus.strict import StrictReader
from tests.core.http1.wire import Wire

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Recorder:
    """A script for an upstream; what it cannot read raises ValueError there.

    `requests` are those that came whole, in their order; `readers` are its connections.
    """

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.readers: list[StrictReader] = []

    async def __call__(self, wire: Wire) -> None:
        reader = StrictReader()
        self.readers.append(reader)
        answered = 0
        while data := await wire.reader.read(65536):
            reader.feed(data)
            self.requests += (came := reader.requests[answered:])
            answered += len(came)
            for request in came:
                await wire.send(OK[:-2] if request.method == "HEAD" else OK)

    @property
    def names(self) -> set[bytes]:
        """The names of all their fields."""
        return {name for reader in self.readers for fields in reader.fields for name, _ in fields}
