"""What both ends of the soak have agreed upon: paths, contents and the parsing of messages. No traffic in here."""

from __future__ import annotations

from asyncio import StreamReader

HEAD_END = b"\r\n\r\n"
PATTERN = bytes(range(256)) * 256
"""Contents are cut from the start of this, again and again, so that each end knows what has to come."""

EVENT = b"data: " + b"e" * 92 + b"\n\n"


def content(size: int) -> bytes:
    """Return so many bytes of the agreed content."""
    whole, rest = divmod(size, len(PATTERN))
    return PATTERN * whole + PATTERN[:rest]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Message:
    """A request or a response that was read whole."""

    __slots__ = ("body", "fields", "start")

    def __init__(self, start: bytes, fields: dict[bytes, bytes]) -> None:
        self.start = start
        self.fields = fields
        self.body = b""

    @property
    def status(self) -> int:
        return int(self.start.split(b" ", 2)[1])

    @property
    def path(self) -> str:
        return self.start.split(b" ", 2)[1].decode()


async def read_head(reader: StreamReader) -> Message:
    """Read a head; raises IncompleteReadError when the connection ends before."""
    start, *lines = (await reader.readuntil(HEAD_END))[: -len(HEAD_END)].split(b"\r\n")
    pairs = (line.partition(b":") for line in lines)
    return Message(start, {name.strip().lower(): value.strip() for name, _, value in pairs})


async def read_message(reader: StreamReader) -> Message:
    """Read a message with its body; raises IncompleteReadError when it was broken off."""
    message = await read_head(reader)
    if message.fields.get(b"transfer-encoding") == b"chunked":
        message.body = await _read_chunks(reader)
    else:
        message.body = await reader.readexactly(int(message.fields.get(b"content-length", b"0")))
    return message


async def _read_chunks(reader: StreamReader) -> bytes:
    chunks = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        chunks.append((await reader.readexactly(size + 2))[:-2])
    await reader.readuntil(b"\r\n")
    return b"".join(chunks)
