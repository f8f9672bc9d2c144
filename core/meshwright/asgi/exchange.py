"""One HTTP request that came by ASGI: through the gateway and back; WebSockets and the lifespan go elsewhere."""

from __future__ import annotations

import asyncio
import logging

from meshwright.asgi.inbox import Inbox, Watch
from meshwright.asgi.incoming import http_request
from meshwright.http1.forwarding import DEFAULT_FORWARDING, Forwarding
from meshwright.http1.rules import has_no_body
from meshwright.http1.server import Handle
from meshwright_sdk.asgi import Message, Receive, Scope, Send, send_response
from meshwright_sdk.errors import (
    AbortError,
    ClientGoneError,
    DownstreamError,
    MeshwrightError,
    PluginError,
    ProtocolError,
)
from meshwright_sdk.headers import RawHeaders
from meshwright_sdk.hop_by_hop import HOP_BY_HOP
from meshwright_sdk.problems import problem
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response

logger = logging.getLogger("meshwright.asgi")

LAST_STATUS = 599
"""ASGI servers know no status beyond it, and cut the client off where they meet one."""

CHUNKS_A_TURN = 16
"""So many chunks of a body that never waits are sent until others have their turn."""

_SERVERS_OWN = HOP_BY_HOP | {b"content-length", b"date", b"server"}
"""What the ASGI server, or the body, says better: servers put their own name and date into every answer."""


async def serve_http(
    handle: Handle,
    watch: Watch,
    scope: Scope,
    receive: Receive,
    send: Send,
    forwarding: Forwarding = DEFAULT_FORWARDING,
) -> None:
    """Answer one HTTP scope; a client that leaves cancels the request, and that is no error.

    Raises what breaks the body off midway, so that the server aborts the connection and nobody takes a part
    for the whole.
    """
    inbox = Inbox(receive, watch)
    task = asyncio.current_task()
    assert task is not None
    cancelling = task.cancelling()
    inbox.watch(task.cancel)
    try:
        await _exchange(handle, scope, inbox, send, forwarding)
    except ClientGoneError:
        pass
    except asyncio.CancelledError:
        # As asyncio.timeout does it: a cancellation of our own ends here, anybody else's goes on.
        if not inbox.gone or task.uncancel() > cancelling:
            raise
    finally:
        inbox.close()


async def _exchange(handle: Handle, scope: Scope, inbox: Inbox, send: Send, forwarding: Forwarding) -> None:
    try:
        request = await http_request(scope, inbox, forwarding)
    except ClientGoneError:
        raise
    except DownstreamError as error:
        response = problem(error)
    else:
        answer = await handle(request)
        if answer.status == AbortError.status:
            # What is raised before the head is answered by the server itself.
            await send({"type": "http.response.start", "status": 502, "headers": [(b"content-length", b"1")]})
        response = await sendable(answer, request)
    no_body = has_no_body(scope["method"], response.status)
    fields = _fields(response, no_body=no_body)
    if forwarding.via and response.endpoint is not None:
        fields.append((b"via", b"1.1 " + forwarding.via))
    if no_body and response.body.data != b"":
        response.body = b""
    response.headers.raw = fields
    if response.body.data is None:
        send = _paced(send, response.body.length)

    def ended_by(error: BaseException) -> BaseException:
        cancelled = inbox.gone and isinstance(error, asyncio.CancelledError)
        return ClientGoneError("client: closed the connection") if cancelled else error

    await send_response(response, send, before_end=inbox.finish, ended_by=ended_by)


async def sendable(response: Response, request: Request) -> Response:
    """Return the response, or a problem in place of one that cannot be sent by ASGI, which is closed.

    Raises AbortError for one that stands for it.
    """
    if response.status == AbortError.status:
        await response.aclose()
        raise AbortError("the connection is to be broken off")
    error = _obstacle(response, request.method)
    if error is None:
        return response
    if isinstance(error, PluginError):
        route = request.route.name if request.route is not None else ""
        logger.error("request %s on route %s: its response cannot be sent: %s", request.id or "-", route, error)
    await response.aclose(error)
    return problem(error, request)


def _obstacle(response: Response, method: str) -> MeshwrightError | None:
    status = response.status
    if response.tunnel is not None:
        return DownstreamError("upgrade: not possible on this connection")
    if LAST_STATUS < status <= 999 and response.endpoint is not None:
        return ProtocolError(f"upstream: expected a status up to {LAST_STATUS} (RFC 9110, section 15); got {status}")
    if not 200 <= status <= LAST_STATUS:
        return PluginError(f"response: expected a final status, 200 to {LAST_STATUS}; got {status}")
    if response.body.spent and not has_no_body(method, status):
        return PluginError("response body: expected one that nobody has read yet")
    return None


def _paced(send: Send, length: int | None) -> Send:
    """Return a `send` for streams that lets others have their turn, and raises PluginError for a wrong length.

    A server need not wait in its own, also when the client is gone; nor does every server count.
    """
    left, sent = length, 0

    async def paced(message: Message) -> None:
        nonlocal left, sent
        if message["type"] == "http.response.body":
            if left is not None:
                left -= len(message["body"])
                if left < 0 or (left and not message["more_body"]):
                    raise PluginError(f"response body: {'longer' if left < 0 else 'shorter'} than its content-length")
            sent += 1
            if sent % CHUNKS_A_TURN == 0:
                await asyncio.sleep(0)
        await send(message)

    return paced


def _fields(response: Response, *, no_body: bool) -> RawHeaders:
    raw = response.headers.raw
    fields = [field for field in raw if field[0] not in _SERVERS_OWN]
    if not no_body:
        if response.body.length is not None:
            fields.append((b"content-length", b"%d" % response.body.length))
    elif response.status >= 200 and response.status not in (204, 304):  # servers count the bytes of those
        fields.extend(field for field in raw if field[0] == b"content-length")
    return fields
