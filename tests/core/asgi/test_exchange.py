"""HTTP scopes through the gateway: streamed both ways, cancelled when the client leaves, aborted when broken off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from meshwright.asgi.exchange import serve_http
from meshwright.asgi.inbox import Watch
from meshwright_sdk import (
    AbortError,
    Body,
    ClientGoneError,
    Endpoint,
    Instance,
    PluginError,
    Request,
    ResetError,
    Response,
    Tasks,
    problem,
)
from meshwright_sdk.asgi import App, Receive, Scope, Send
from tests.core.asgi.peer import FakeGateway, Peer, PipeEnd, chunks, content, http_scope, turns

DISCONNECT = {"type": "http.disconnect"}
CHUNKED = [(b"host", b"h"), (b"transfer-encoding", b"chunked")]


def app_of(gateway: FakeGateway) -> App:
    watch = Watch(Tasks(), interval_s=0.0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await serve_http(gateway.handle, watch, scope, receive, send)

    return app


async def serve(gateway: FakeGateway, peer: Peer, scope: Scope | None = None) -> Peer:
    await app_of(gateway)(scope or http_scope(), peer.receive, peer.send)
    return peer


def answering(response: Response) -> FakeGateway:
    async def answer(request: Request) -> Response:
        return response

    return FakeGateway(answer)


async def test_a_complete_response_is_sent_and_settled() -> None:
    gateway = FakeGateway()

    peer = await serve(gateway, Peer())

    assert (peer.status, peer.body, peer.complete, gateway.ends) == (200, b"ok", True, [None])
    assert peer.headers[b"content-length"] == b"2"


async def test_a_streamed_response_is_sent_chunk_by_chunk() -> None:
    go_on = asyncio.Event()
    gateway = answering(Response(200, {"content-length": "2"}, Body.stream(chunks(b"a", then=go_on), length=1)))
    peer = Peer()
    task = peer.start(app_of(gateway), http_scope())

    first = await peer.wait_for("http.response.body")
    ends_before = list(gateway.ends)
    go_on.set()
    await task

    assert (first["body"], ends_before, gateway.ends, peer.complete) == (b"a", [], [None], True)
    assert peer.headers[b"content-length"] == b"1"


async def test_a_request_body_streams_into_the_chain() -> None:
    async def echo(request: Request) -> Response:
        return Response(200, None, Body.stream(request.body.take()))

    scope = http_scope("POST", headers=CHUNKED)
    peer = await serve(FakeGateway(echo), Peer(content(b"a", more=True), content(b"b")), scope)

    assert peer.body == b"ab"


async def test_headers_that_the_server_writes_itself_are_left_to_it() -> None:
    headers = {"date": "x", "server": "nginx", "connection": "x", "transfer-encoding": "chunked", "x-kept": "1"}

    peer = await serve(answering(Response(200, headers, b"ok")), Peer())

    assert peer.headers == {b"x-kept": b"1", b"content-length": b"2"}


@pytest.mark.parametrize(
    ("method", "status", "length"), [("HEAD", 200, b"9"), ("GET", 304, None), ("GET", 204, None), ("HEAD", 304, None)]
)
async def test_a_response_without_content_has_none(method: str, status: int, length: bytes | None) -> None:
    gateway = answering(Response(status, {"content-length": "9"}, chunks(b"unexpected")))

    peer = await serve(gateway, Peer(), http_scope(method))

    assert (peer.body, peer.complete, peer.headers.get(b"content-length")) == (b"", True, length)
    assert gateway.ends == [None]


async def test_a_bad_request_is_answered_with_a_problem() -> None:
    gateway = FakeGateway()

    peer = await serve(gateway, Peer(), http_scope(path="/../x"))

    assert (peer.status, peer.headers[b"content-type"]) == (400, b"application/problem+json")
    assert (b'"code":"bad_target"' in peer.body, gateway.requests) == (True, [])


async def test_a_connection_that_is_to_be_broken_off_gets_a_head_whose_body_never_comes() -> None:
    peer = Peer()

    with pytest.raises(AbortError):
        await serve(answering(problem(AbortError())), peer)

    assert (peer.status, peer.body, peer.complete) == (502, b"", False)
    assert peer.headers[b"content-length"] == b"1"


async def test_a_body_that_breaks_off_raises_so_that_the_server_aborts() -> None:
    gateway = answering(Response(200, None, chunks(b"a", error=ResetError("gone"))))
    peer = Peer()

    with pytest.raises(ResetError) as caught:
        await serve(gateway, peer)

    assert (peer.complete, gateway.ends) == (False, [caught.value])


@pytest.mark.parametrize("length", [1, 3])
async def test_a_body_of_another_length_than_promised_is_broken_off(length: int) -> None:
    gateway = answering(Response(200, None, Body.stream(chunks(b"a", b"b"), length=length)))
    peer = Peer()

    with pytest.raises(PluginError, match="content-length"):
        await serve(gateway, peer)

    assert (peer.complete, len(peer.body) <= length, len(gateway.ends)) == (False, True, 1)


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 600, 99999])
async def test_a_status_that_no_server_sends_becomes_a_500(status: int, caplog: pytest.LogCaptureFixture) -> None:
    gateway = answering(Response(status, None, b"ok"))

    peer = await serve(gateway, Peer())

    assert (peer.status, peer.headers[b"content-type"]) == (500, b"application/problem+json")
    assert len(gateway.ends) == 1
    assert "its response cannot be sent" in caplog.text


async def test_an_upstreams_status_that_no_server_sends_becomes_a_502() -> None:
    response = Response(700, None, b"ok")
    response.endpoint = Endpoint(Instance(url="http://h"))

    peer = await serve(answering(response), Peer())

    assert (peer.status, b"upstream_protocol_error" in peer.body) == (502, True)


async def test_a_body_that_was_read_already_becomes_a_500() -> None:
    async def answer(request: Request) -> Response:
        response = Response(200, None, chunks(b"a"))
        async for _ in response.body:
            pass
        return response

    peer, head = await serve(FakeGateway(answer), Peer()), await serve(FakeGateway(answer), Peer(), http_scope("HEAD"))

    assert (peer.status, head.status) == (500, 200)


async def wait_for_cancel(request: Request) -> Response:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_client_that_leaves_cancels_the_request() -> None:
    gateway, peer = FakeGateway(wait_for_cancel), Peer(content())
    task = peer.start(app_of(gateway), http_scope())
    await asyncio.sleep(0)

    peer.put(DISCONNECT)
    await task

    assert (gateway.cancelled, peer.sent) == (1, [])


async def test_a_client_that_leaves_after_its_content_cancels_the_request() -> None:
    gateway, peer = FakeGateway(wait_for_cancel), Peer(content(b"abc"), DISCONNECT)

    await serve(gateway, peer, http_scope("POST", headers=[(b"host", b"h"), (b"content-length", b"3")]))

    assert gateway.cancelled == 1


async def test_a_body_that_never_waits_leaves_others_their_turn() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x"

    peer = Peer()
    task = peer.start(app_of(answering(Response(200, None, endless()))), http_scope())

    async with asyncio.timeout(5):
        await peer.wait_for("http.response.body")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_client_that_leaves_in_the_midst_of_a_stream_ends_it() -> None:
    gateway = answering(Response(200, None, chunks(b"a", then=asyncio.Event())))
    peer = Peer(content())
    task = peer.start(app_of(gateway), http_scope())
    await peer.wait_for("http.response.body")

    peer.put(DISCONNECT)
    await task

    assert [type(end) for end in gateway.ends] == [ClientGoneError]


async def test_content_that_nobody_reads_yet_is_kept_for_whoever_will() -> None:
    listening = asyncio.Event()

    async def late_reader(request: Request) -> Response:
        await listening.wait()
        return Response(200, None, await request.body.read(100))

    gateway = FakeGateway(late_reader)
    peer = Peer(content(b"a", more=True), content(b"b", more=True), content(b"c"))
    task = peer.start(app_of(gateway), http_scope("POST", headers=CHUNKED))
    await turns()
    asked_before = peer.asked
    listening.set()
    await task

    assert (asked_before, peer.body) == (1, b"abc")


async def test_a_client_that_leaves_after_its_content_was_read_ahead_cancels_the_request() -> None:
    async def reads_one_chunk(request: Request) -> Response:
        await turns()
        await anext(aiter(request.body))
        await asyncio.Event().wait()
        raise AssertionError

    gateway, peer = FakeGateway(reads_one_chunk), Peer(content(b"a", more=True))
    task = peer.start(app_of(gateway), http_scope("POST", headers=CHUNKED))
    await turns(60)

    peer.put(DISCONNECT)
    await task

    assert gateway.cancelled == 1


async def test_a_reader_that_waits_is_the_only_one_to_receive() -> None:
    async def echo(request: Request) -> Response:
        return Response(200, None, await request.body.read(100))

    peer = Peer()
    task = peer.start(app_of(FakeGateway(echo)), http_scope("POST", headers=CHUNKED))
    await turns()
    asked = peer.asked
    peer.put(content(b"a", more=True))
    await turns()
    peer.put(content(b"b"))
    await task

    assert (asked, peer.asked, peer.body) == (1, 2, b"ab")


async def test_a_quick_request_starts_no_listener() -> None:
    peer = await serve(FakeGateway(), Peer())
    await turns()

    assert peer.asked == 0


async def test_a_disconnect_that_follows_the_last_message_is_no_departure() -> None:
    async def slow(request: Request) -> Response:
        await turns()
        return Response.text("ok")

    class Finishing(Peer):
        async def send(self, message: object) -> None:
            await super().send(message)  # type: ignore[arg-type]
            if self.complete:
                self.put(DISCONNECT)
                await turns()

    gateway = FakeGateway(slow)
    await serve(gateway, Finishing(content()))

    assert gateway.ends == [None]


async def test_a_server_that_refuses_to_send_means_that_the_client_is_gone() -> None:
    class Broken(Peer):
        async def send(self, message: object) -> None:
            raise BrokenPipeError

    gateway = answering(Response(200, None, chunks(b"a")))
    await serve(gateway, Broken())

    assert len(gateway.ends) == 1
    assert gateway.ends[0] is not None


async def test_a_timeout_of_somebody_elses_is_not_taken_for_a_departure() -> None:
    gateway = answering(Response(200, None, chunks(b"a", error=TimeoutError("theirs"))))

    with pytest.raises(TimeoutError, match="theirs"):
        await serve(gateway, Peer())


async def test_cancelling_the_servers_task_cancels_the_request() -> None:
    gateway, peer = FakeGateway(wait_for_cancel), Peer()
    task = peer.start(app_of(gateway), http_scope())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert gateway.cancelled == 1


async def test_a_server_that_cancels_while_a_departure_is_handled_is_heard() -> None:
    async def slow_to_end(request: Request) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()
        raise AssertionError

    peer = Peer(content(), DISCONNECT)
    task = peer.start(app_of(FakeGateway(slow_to_end)), http_scope())
    await turns()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_tunnel_that_no_http_scope_can_carry_is_closed() -> None:
    switched = Response(101)
    tunnel = PipeEnd(asyncio.Queue(), asyncio.Queue())
    switched.tunnel = tunnel
    gateway = answering(switched)

    peer = await serve(gateway, Peer())

    assert (peer.status, len(gateway.ends)) == (400, 1)


async def test_many_slow_requests_are_each_cancelled_by_their_own_client() -> None:
    gateway = FakeGateway(wait_for_cancel)
    app: Callable[..., Awaitable[None]] = app_of(gateway)
    peers = [Peer(content()) for _ in range(20)]
    tasks = [peer.start(app, http_scope()) for peer in peers]
    await turns()

    for peer in peers[::2]:
        peer.put(DISCONNECT)
    await asyncio.wait(tasks[::2])
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()

    assert (len(left), gateway.cancelled) == (10, 10)
