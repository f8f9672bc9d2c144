"""WebSocket frames to messages and back, whole or one byte at a time, good and bad."""

from __future__ import annotations

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from meshwright.asgi.framing import Close, Framing, accept_key

CLIENT, SERVER = ConnectionType.CLIENT, ConnectionType.SERVER


def test_the_accept_key_is_the_one_of_the_rfc() -> None:
    assert accept_key(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(("here", "there"), [(CLIENT, SERVER), (SERVER, CLIENT)])
@pytest.mark.parametrize("step", [1, 3, 1000], ids=["one byte", "three bytes", "at once"])
def test_messages_arrive_as_they_were_sent(here: ConnectionType, there: ConnectionType, step: int) -> None:
    sender, receiver = Framing(here), Framing(there)
    wire = sender.send("grüß dich") + sender.send(b"\x00\xff") + sender.send("")

    got = [message for at in range(0, len(wire), step) for message in receiver.receive(wire[at : at + step])[0]]

    assert got == ["grüß dich", b"\x00\xff", ""]


def test_a_fragmented_message_arrives_whole() -> None:
    peer, framing = Connection(SERVER), Framing(CLIENT)
    wire = peer.send(TextMessage("a", message_finished=False))
    wire += peer.send(Ping(b"in between"))
    wire += peer.send(TextMessage("b", message_finished=True))

    messages, reply = framing.receive(wire)
    peer.receive_data(reply)

    assert messages == ["ab"]
    assert list(peer.events()) == [Pong(b"in between")]


def test_fragments_of_bytes_are_joined() -> None:
    peer, framing = Connection(SERVER), Framing(CLIENT)

    wire = peer.send(BytesMessage(b"a", message_finished=False)) + peer.send(BytesMessage(b"b"))

    assert framing.receive(wire) == ([b"ab"], b"")


def test_a_close_is_echoed_and_told() -> None:
    peer, framing = Connection(CLIENT), Framing(SERVER)

    messages, reply = framing.receive(peer.send(CloseConnection(4001, "bye")))
    peer.receive_data(reply)

    assert (messages, framing.closed) == ([], Close(4001, "bye"))
    assert list(peer.events()) == [CloseConnection(4001, "bye")]


def test_a_close_without_a_code_stays_without_one() -> None:
    framing = Framing(SERVER)

    _, reply = framing.receive(b"\x88\x80\x00\x00\x00\x00")

    assert (framing.closed, reply) == (Close(1005, ""), b"\x88\x00")
    assert Framing(SERVER).close(1005) == b"\x88\x00"


def test_our_close_is_sent_once_and_answered() -> None:
    here, there = Framing(SERVER), Framing(CLIENT)
    frame = here.close(4000, "done")

    _, echo = there.receive(frame)
    messages, reply = here.receive(echo)

    assert (here.close(4000), messages, reply) == (b"", [], b"")
    assert (there.closed, here.closed) == (Close(4000, "done"), Close(4000, "done"))


def test_nothing_is_sent_after_a_close() -> None:
    framing = Framing(SERVER)
    framing.close(1000)

    assert framing.send("late") == b""


def test_a_ping_after_our_close_is_not_answered() -> None:
    peer, framing = Connection(CLIENT), Framing(SERVER)
    framing.close(1000)

    assert framing.receive(peer.send(Ping(b""))) == ([], b"")


@pytest.mark.parametrize("text", [True, False])
def test_a_message_above_the_bound_closes_with_1009(*, text: bool) -> None:
    framing = Framing(CLIENT, max_message_bytes=10)
    peer = Framing(SERVER)
    wire = peer.send("ä" * 5) + peer.send("ä" * 6 if text else bytes(11))

    messages, reply = framing.receive(wire)

    assert messages == ["ä" * 5]
    assert framing.closed is not None
    assert framing.closed.code == 1009
    assert Framing(SERVER).receive(reply) == ([], Framing(SERVER).close(1009, "at most 10 bytes"))


def test_a_message_above_the_bound_is_noticed_before_it_is_complete() -> None:
    framing = Framing(CLIENT, max_message_bytes=10)

    framing.receive(Framing(SERVER).send(bytes(1000))[:100])

    assert framing.closed is not None


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"\x81\x82\x00\x00\x00\x00hi", 1002),
        (b"\xc1\x02hi", 1002),
        (b"\x83\x00", 1002),
        (b"\x80\x01a", 1002),
        (b"\x81\x01\xff", 1007),
        (b"\x88\x01a", 1002),
        (b"\x88\x02\x03\xed", 1002),
        (b"\x89\x7e\x00\x80", 1002),
    ],
    ids=["masked", "reserved bit", "opcode", "continuation", "no UTF-8", "short close", "close 1005", "long ping"],
)
def test_bytes_that_are_no_frames_close_it(wire: bytes, code: int) -> None:
    framing = Framing(CLIENT)

    messages, reply = framing.receive(wire)
    after = framing.receive(b"\x81\x02hi")

    assert framing.closed is not None
    assert (messages, framing.closed.code, reply[:1]) == ([], code, b"\x88")
    assert after == ([], b"")
