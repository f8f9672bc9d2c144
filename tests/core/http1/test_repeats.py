"""Heads that repeat on a connection are not read or written again; nobody may notice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshwright.http1.rules import MessageWriter, write_message
from meshwright_sdk import CallNext, Request, Response
from tests.core.http1.harness import gateway_to, serving
from tests.core.http1.line import OK, keeping
from tests.core.http1.wire import Message

DATED = OK.replace(b"\r\n\r\n", b"\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n")
BLOCK = b"host: a\r\naccept: */*\r\n\r\n"


async def seen_by(request: Request) -> Response:
    await request.body.read(100)
    return Response.text(f"{request.http_version} {request.url} {sorted(request.headers.items())}")


async def test_what_a_filter_does_to_headers_is_gone_with_its_request() -> None:
    seen: list[Message] = []
    answers: list[str] = []

    async def changing(request: Request, call_next: CallNext) -> Response:
        request.headers["x-mine"] = "1"
        request.headers.add("accept", "again")
        del request.headers["host"]
        request.headers.raw.insert(0, (b"host", b"b"))
        response = await call_next(request)
        answers.append(repr(response.headers))
        response.headers["x-answer"] = "1"
        response.headers.raw.reverse()
        return response

    async with gateway_to(keeping(seen, DATED), changing) as rig:
        wire = await rig.client()
        got = []
        for _ in range(3):
            await wire.send(b"GET / HTTP/1.1\r\n" + BLOCK)
            got.append(str((await wire.message()).headers))
        wire.close()

    assert len({str(each.headers) for each in seen}) == 1
    assert str(seen[0].headers).count("x-mine") == 1
    assert len(set(answers)) == 1
    assert "x-answer" not in answers[0]
    assert len(set(got)) == 1


async def test_the_same_fields_mean_what_their_request_line_makes_of_them(bytewise: bool) -> None:
    async with serving(seen_by, bytewise=bytewise) as server:
        wire = await server.client()
        urls = []
        for line in (
            b"GET /1 HTTP/1.1",
            b"GET http://other/2 HTTP/1.1",
            b"GET /3 HTTP/1.1",
            b"GET http://third/4 HTTP/1.1",
            b"GET /5 HTTP/1.1",
        ):
            await wire.send(line + b"\r\n" + BLOCK)
            urls.append((await wire.message()).body.decode().split()[1])
        wire.close()
    assert urls == ["http://a/1", "http://other/2", "http://a/3", "http://third/4", "http://a/5"]


async def test_the_same_fields_are_judged_again_for_another_version(bytewise: bool) -> None:
    async with serving(seen_by, bytewise=bytewise) as server:
        wire = await server.client()
        body = b"transfer-encoding: chunked\r\nhost: a\r\n\r\n0\r\n\r\n"
        await wire.send(b"POST / HTTP/1.1\r\n" + body)
        assert (await wire.message()).status == 200
        await wire.send(b"POST / HTTP/1.0\r\n" + body)
        assert (await wire.message()).status == 400
        assert await wire.ended()


async def test_a_request_without_fields_has_none_of_the_one_before(bytewise: bool) -> None:
    async with serving(seen_by, bytewise=bytewise) as server:
        wire = await server.client()
        await wire.send(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\nx-a: 1\r\nhost: a\r\n\r\n")
        assert b"x-a" in (await wire.message()).body
        await wire.send(b"GET / HTTP/1.0\r\n\r\n")
        assert b"x-a" not in (await wire.message()).body
        wire.close()


def test_a_list_of_fields_that_was_changed_after_it_was_written_is_another_one() -> None:
    writer = MessageWriter()
    fields = [(b"a", b"1")]
    first = writer.write(b"x", fields, (), b"")
    fields[0] = (b"a", b"2")
    second = writer.write(b"x", fields, (b"content-length: 1",), b"y")
    fields.clear()

    assert first == b"x\r\na: 1\r\n\r\n"
    assert second == b"x\r\na: 2\r\ncontent-length: 1\r\n\r\ny"
    assert writer.write(b"x", fields, (), b"") == b"x\r\n\r\n"


def test_one_message_of_another_kind_is_not_learnt_and_two_are() -> None:
    writer, answer, refusal = MessageWriter(), [(b"a", b"1"), (b"b", b"2")], [(b"c", b"3")]
    writer.write(b"x", answer, (), b"")
    writer.write(b"x", refusal, (), b"")
    assert writer._alike == answer

    writer.write(b"x", answer, (), b"")
    writer.write(b"x", refusal, (), b"")
    writer.write(b"x", refusal, (), b"")
    assert writer._alike == refusal


FIELDS = st.sampled_from(
    [
        (b"host", b"a"),
        (b"host", b"b"),
        (b"x-id", b"1"),
        (b"x-id", b"2"),
        (b"content-length", b"3"),
        (b"x-long", b"l" * 600),
    ]
)


@given(st.lists(st.lists(FIELDS, max_size=6), max_size=8))
def test_what_was_written_before_never_shows_in_a_message(messages: list[list[tuple[bytes, bytes]]]) -> None:
    writer = MessageWriter()
    for fields in messages:
        assert writer.write(b"x", fields, (b"y: 1",), b"z") == write_message(b"x", fields, (b"y: 1",), b"z")
