from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.http1.framing import (
    MAX_CHUNK_LINE_BYTES,
    MAX_TRAILER_BYTES,
    MAX_TRAILERS,
    ChunkedReader,
    ContentReader,
    CountedReader,
    UnboundedReader,
)
from meshwright.http1.grammar import GrammarError
from meshwright_sdk.headers import RawHeaders

Read = tuple[bytes, RawHeaders, bytes]
"""The content, the fields after it, and what is left."""


def pieces(data: bytes, places: list[int]) -> list[bytes]:
    """Return `data` cut at these places."""
    return [data[begin:end] for begin, end in pairwise([0, *sorted({min(each, len(data)) for each in places}), None])]


def read(reader: ContentReader, *parts: bytes) -> Read:
    """Feed the parts, as a connection does: what comes after the end is not the reader's."""
    content = rest = b""
    for part in parts:
        if reader.complete:
            rest += part
            continue
        piece, left = reader.feed(part)
        content += piece
        rest += left
        assert not left or reader.complete
    return content, reader.trailers, rest


def bytewise(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


@pytest.mark.parametrize(
    ("length", "data", "content", "rest", "complete"),
    [
        (0, b"", b"", b"", True),
        (0, b"GET", b"", b"GET", True),
        (3, b"", b"", b"", False),
        (3, b"ab", b"ab", b"", False),
        (3, b"abc", b"abc", b"", True),
        (3, b"abcGET", b"abc", b"GET", True),
    ],
)
def test_counted_content_is_as_long_as_it_was_said(
    length: int, data: bytes, content: bytes, rest: bytes, complete: bool
) -> None:
    for parts in ([data], bytewise(data)):
        reader = CountedReader(length)
        assert read(reader, *parts) == (content, [], rest)
        assert reader.complete == complete


@given(st.binary(max_size=200), st.integers(0, 250), st.lists(st.integers(0, 200)))
def test_where_counted_content_is_cut_changes_nothing(data: bytes, length: int, places: list[int]) -> None:
    reader = CountedReader(length)
    assert read(reader, *pieces(data, places)) == (data[:length], [], data[length:])
    assert reader.complete == (len(data) >= length)


def test_content_without_an_end_takes_everything() -> None:
    reader = UnboundedReader()
    assert read(reader, b"ab", b"", b"0\r\n\r\n") == (b"ab0\r\n\r\n", [], b"")
    assert not reader.complete


CHUNKED: list[tuple[bytes, Read]] = [
    (b"0\r\n\r\n", (b"", [], b"")),
    (b"000\r\n\r\n", (b"", [], b"")),
    (b"3\r\nabc\r\n0\r\n\r\nGET /", (b"abc", [], b"GET /")),
    (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", (b"abcde", [], b"")),
    (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", (b"01234567890123456789", [], b"")),
    (b"000000000000003\r\n\r\n\n\r\n0\r\n\r\n\r\n", (b"\r\n\n", [], b"\r\n")),
    (b"0\r\nX-Sum: 1 \r\ny:\r\n\r\nrest", (b"", [(b"x-sum", b"1"), (b"y", b"")], b"rest")),
    (b"1;a\r\nx\r\n0\r\n\r\n", (b"x", [], b"")),
    (b'1;a=b;c="d;\\"e";f\r\nx\r\n0;last\r\n\r\n', (b"x", [], b"")),
    (b"1 ; a = b\r\nx\r\n0\r\n\r\n", (b"x", [], b"")),
]


@pytest.mark.parametrize(("data", "expected"), CHUNKED)
def test_chunks_are_joined_and_what_follows_is_left(data: bytes, expected: Read) -> None:
    for parts in ([data], bytewise(data)):
        reader = ChunkedReader()
        assert read(reader, *parts) == expected
        assert reader.complete


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b";a\r\n",
        b"x\r\n",
        b"0x1\r\n",
        b"+1\r\n",
        b"-1\r\n",
        b"1_0\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1\t\r\n",
        b"1 2\r\n",
        b"1,2\r\n",
        b"\xb2\r\n",
        b"1" * 16 + b"\r\n",
        b"1\n",
        b"1\ra",
        b"1;\r\n",
        b"1;=b\r\n",
        b"1;a=\r\n",
        b'1;a="b\r\n',
        b'1;a="b"c\r\n',
        b"1;a\0\r\n",
        b"1;a\n\r\n",
        b"1;a b\r\n",
        b"1\r\nab",
        b"1\r\na\n",
        b"1\r\na\r\r",
        b"1\r\na1",
        b"0\r\nx\r\n\r\n",
        b"0\r\n x: a\r\n\r\n",
        b"0\r\nx: a\r\n b\r\n\r\n",
        b"0\r\nx : a\r\n\r\n",
        b"0\r\nx: a\nb: c\r\n\r\n",
        b"0\r\nx: a\0\r\n\r\n",
        b"0\r\n\n\r\n\r\n",
        b"0\r\n\rx\r\n\r\n",
        b"0\r\nContent-Length: 3\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nHost: a\r\n\r\n",
    ],
)
def test_what_are_no_chunks_is_refused_however_it_comes(data: bytes) -> None:
    for parts in ([data], bytewise(data)):
        with pytest.raises(GrammarError):
            read(ChunkedReader(), *parts)


@pytest.mark.parametrize(
    ("bound", "too_much"),
    [
        (b"1;" + b"a" * (MAX_CHUNK_LINE_BYTES - 4) + b"\r\n", b"1;" + b"a" * (MAX_CHUNK_LINE_BYTES - 3) + b"\r\n"),
        (b"0\r\nx:" + b"a" * (MAX_TRAILER_BYTES - 2) + b"\r\n\r\n", b"0\r\nx:" + b"a" * (MAX_TRAILER_BYTES - 1)),
        (b"0\r\n" + b"x:\r\n" * MAX_TRAILERS + b"\r\n", b"0\r\n" + b"x:\r\n" * (MAX_TRAILERS + 1)),
    ],
    ids=["line", "trailers", "count"],
)
def test_what_stands_between_chunks_and_after_them_is_bounded(bound: bytes, too_much: bytes) -> None:
    for last in (0, 1, 2, 3, len(bound)):
        read(ChunkedReader(), bound[: len(bound) - last], *bytewise(bound[len(bound) - last :]))
    for parts in ([too_much + b"\r\n\r\n"], bytewise(too_much + b"\r\n\r\n")):
        with pytest.raises(GrammarError):
            read(ChunkedReader(), *parts)


SIZES = st.sampled_from(["%x", "%X", "%04x", "%x;a=b", '%x ; c="\\"d"'])
CHUNKS = st.lists(st.tuples(st.binary(min_size=1, max_size=40), SIZES), max_size=6)
FIELDS = st.lists(st.sampled_from([(b"x-sum", b"1"), (b"etag", b'"a"'), (b"empty", b"")]), max_size=3)
CUTS = st.lists(st.integers(0, 500), max_size=12)


def written(chunks: list[tuple[bytes, str]], trailers: RawHeaders) -> bytes:
    sent = b"".join((size % len(data)).encode() + b"\r\n" + data + b"\r\n" for data, size in chunks)
    return sent + b"0\r\n" + b"".join(b"%b: %b\r\n" % field for field in trailers) + b"\r\n"


@given(CHUNKS, FIELDS, st.binary(max_size=20), CUTS)
def test_where_chunked_content_is_cut_changes_nothing(
    chunks: list[tuple[bytes, str]], trailers: RawHeaders, after: bytes, places: list[int]
) -> None:
    reader = ChunkedReader()
    content = b"".join(data for data, _ in chunks)
    assert read(reader, *pieces(written(chunks, trailers) + after, places)) == (content, trailers, after)
    assert reader.complete


PARTS = st.sampled_from(
    [b"0", b"1", b"2", b"a", b"\r", b"\n", b"\r\n", b"0\r\n\r\n", b";", b"=", b'"', b" ", b":", b"\0", b"\xff"]
)


def outcome(parts: list[bytes]) -> Read | None:
    """Return what is read of the parts, or None when they are refused or have no end."""
    reader = ChunkedReader()
    try:
        found = read(reader, *parts)
    except GrammarError:
        return None
    return found if reader.complete else None


@given(st.lists(PARTS, max_size=14), CUTS)
def test_where_nonsense_is_cut_changes_nothing_either(parts: list[bytes], places: list[int]) -> None:
    data = b"".join(parts)
    assert outcome(pieces(data, places)) == outcome([data]) == outcome(bytewise(data))


@given(CHUNKS, FIELDS, CUTS)
def test_no_more_is_kept_than_the_line_that_is_not_complete(
    chunks: list[tuple[bytes, str]], trailers: RawHeaders, places: list[int]
) -> None:
    reader = ChunkedReader()
    data = written(chunks, trailers)
    held = sent = taken = 0
    for piece in pieces(data, places):
        if not reader.complete:
            sent += len(piece)
            taken += len(reader.feed(piece)[0])
            held = max(held, len(reader._rest))
            assert taken <= sent
    assert held <= max(map(len, data.split(b"\r\n"))) + sum(len(name) + len(value) + 4 for name, value in trailers) + 2


def test_a_chunk_is_handed_on_as_it_comes_and_never_kept() -> None:
    reader = ChunkedReader()
    assert reader.feed(b"fffffff\r\n" + bytes(1000)) == (bytes(1000), b"")
    assert reader.feed(bytes(1000)) == (bytes(1000), b"")
    assert (reader._rest, reader.complete) == (b"", False)
