from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from meshwright_sdk import Body, ResetError, tee


async def chunks(*parts: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if error is not None:
        raise error


async def test_a_whole_body_is_copied_at_once_and_stays_what_it_is() -> None:
    copies: list[bytes | None] = []
    body = Body(b"abc")

    assert tee(body, 3, copies.append) is body
    assert copies == [b"abc"]


async def test_a_stream_is_copied_when_it_has_passed_by() -> None:
    copies: list[bytes | None] = []
    body = tee(Body.stream(chunks(b"ab", b"c")), 3, copies.append)

    assert copies == []
    assert [chunk async for chunk in body] == [b"ab", b"c"]
    assert copies == [b"abc"]


@pytest.mark.parametrize("body", [Body(b"abcd"), Body.stream(chunks(b"ab", b"cd")), Body.stream(chunks(), length=4)])
async def test_one_that_is_too_long_passes_by_without_a_copy(body: Body) -> None:
    copies: list[bytes | None] = []

    async for _ in tee(body, 3, copies.append):
        pass

    assert copies == [None]


async def test_one_that_breaks_off_is_no_copy() -> None:
    copies: list[bytes | None] = []

    with pytest.raises(ResetError):
        await tee(Body.stream(chunks(b"ab", error=ResetError("gone"))), 9, copies.append).read(9)

    assert copies == [None]


async def test_one_that_is_given_up_is_no_copy_and_closes_what_it_comes_from() -> None:
    copies: list[bytes | None] = []
    source = chunks(b"ab", b"cd")
    body = tee(Body.stream(source), 9, copies.append)

    await anext(aiter(body))
    await body.aclose()

    assert copies == [None]
    assert [chunk async for chunk in source] == []
