from __future__ import annotations

import pytest

from benchmarks.soak.contents import Message, content
from benchmarks.soak.visitors import Wrong, check


def answer(status: str, body: bytes) -> Message:
    message = Message(f"HTTP/1.1 {status}".encode(), {})
    message.body = body
    return message


def test_the_agreed_content_and_a_broken_upstream_are_fine() -> None:
    check(answer("200 OK", content(70_000)), content(70_000))
    check(answer("502 Bad Gateway", b"{}"), content(70_000))


@pytest.mark.parametrize(
    "wrong",
    [answer("200 OK", content(69_999)), answer("200 OK", b"y" * 10), answer("500 Internal Server Error", b"")],
    ids=["ended early as if whole", "other content", "a fault of the gateway"],
)
def test_anything_else_is_wrong(wrong: Message) -> None:
    with pytest.raises(Wrong):
        check(wrong, content(70_000))
