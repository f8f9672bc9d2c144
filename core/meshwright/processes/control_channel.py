"""`ControlChannel`: calls and answers as JSON lines over a socket pair; what a call means goes elsewhere."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from itertools import count
from typing import Any, Self

from meshwright.config.problems import Problem
from meshwright_sdk import ConfigError, Tasks

logger = logging.getLogger("meshwright.control")

MAX_MESSAGE_BYTES = 16 * 2**20

Handler = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Does what a call of that name asks and returns what JSON can say."""


class CallFailedError(RuntimeError):
    """The other end could not do what it was asked; the message says why."""


class ControlChannel:
    """The asking end of a channel. Calls may overlap; each gets its own answer.

    When the other end goes away, every call that waits and every later one raises ConnectionError.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks = Tasks()
        self._read = self._tasks.spawn(self._read_answers(), name="control channel")

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        """Take over `end` of a socket pair whose other end is, or will be, given to `answer_calls`."""
        return cls(*await _streams(end))

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Return the answer to `name`; whoever calls puts a timeout around it.

        Raises ConfigError as the other end raised it, CallFailedError for its other failures, ConnectionError
        when the other end is gone, ValueError for too much to send.
        """
        if self._read.done():
            raise ConnectionResetError("the control channel is closed")
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await _send(self._writer, {"id": number, "call": name, "with": arguments})
            return _result(await answer)
        finally:
            del self._waiting[number]
            if answer.done() and not answer.cancelled():
                answer.exception()  # it may have failed while the call was being sent, and then nobody asks

    async def wait_closed(self) -> None:
        """Return when the other end has gone away."""
        await asyncio.wait([self._read])

    async def close(self) -> None:
        """Hang up; the other end sees the end of the stream."""
        await self._tasks.close()
        await _close(self._writer)

    async def _read_answers(self) -> None:
        try:
            while (message := await _receive(self._reader)) is not None:
                answer = self._waiting.get(message["id"])
                if answer is not None and not answer.done():
                    answer.set_result(message)
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ConnectionResetError("the other end of the control channel is gone"))


async def answer_calls(end: socket.socket, handle: Handler) -> None:
    """Answer the calls that come over `end`, each as soon as it is done, until the other end goes away."""
    reader, writer = await _streams(end)
    tasks = Tasks()
    try:
        while (message := await _receive(reader)) is not None:
            tasks.spawn(_answer(writer, handle, message), name=f"control call {message['call']}")
    finally:
        await tasks.close()
        await _close(writer)


async def _answer(writer: asyncio.StreamWriter, handle: Handler, message: Mapping[str, Any]) -> None:
    answer: dict[str, Any] = {"id": message["id"]}
    try:
        answer["ok"] = await handle(message["call"], message["with"])
    except ConfigError as error:
        answer["problems"] = [_pack(problem) for problem in error.problems]
    except Exception as error:
        logger.exception("control call %s failed", message["call"])
        answer["error"] = f"{type(error).__name__}: {error}"
    try:
        await _send(writer, answer)
    except (ValueError, TypeError) as error:
        await _send(writer, {"id": message["id"], "error": f"the answer cannot be sent: {error}"})
    except ConnectionError:
        logger.debug("nobody waits for the answer to %s any more", message["call"])


def _result(message: Mapping[str, Any]) -> Any:
    if "problems" in message:
        raise ConfigError([_unpack(problem) for problem in message["problems"]])
    if "error" in message:
        raise CallFailedError(message["error"])
    return message["ok"]


def _pack(problem: object) -> Any:
    return asdict(problem) if isinstance(problem, Problem) else str(problem)


def _unpack(packed: Any) -> object:
    return packed if isinstance(packed, str) else Problem(**{**packed, "path": tuple(packed["path"])})


async def _streams(end: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(sock=end, limit=MAX_MESSAGE_BYTES)


async def _send(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
    if len(line) > MAX_MESSAGE_BYTES:
        raise ValueError(f"expected a message of at most {MAX_MESSAGE_BYTES} bytes; got {len(line)}")
    writer.write(line)
    await writer.drain()


async def _receive(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """Return the next message, or None at the end; a line cut short or out of bounds is the end too."""
    try:
        message: dict[str, Any] = json.loads(await reader.readuntil(b"\n"))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except (asyncio.LimitOverrunError, ValueError) as error:
        logger.error("control channel: expected JSON lines; got something else (%s)", error)
        return None
    return message


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except ConnectionError:
        logger.debug("the control channel was reset while it closed")
