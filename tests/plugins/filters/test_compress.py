from __future__ import annotations

import asyncio
import gzip
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from importlib import import_module
from random import Random
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright_plugins.filters.compress import SLICE_BYTES, Compress, negotiate, parse_accept_encoding
from meshwright_sdk import Response
from meshwright_sdk.testing import FakeUpstream, build, make_request

brotli: Any = import_module("brotli")  # it ships no type information

TEXT = b"All work and no play makes Jack a dull boy. " * 100
ENCODINGS = ["zstd", "br", "gzip"]
DECODE: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "br": brotli.decompress,
    "gzip": gzip.decompress,
}


def response_of(body: bytes | AsyncIterator[bytes] = TEXT, **headers: str) -> Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    response = Response(200, {"content-type": "text/plain"} | fields, body)
    if isinstance(body, bytes):
        response.headers["content-length"] = str(len(body))
    return response


async def answered(response: Response, accept: str | None = "gzip", method: str = "GET", **options: Any) -> Response:
    request = make_request(method, headers={"accept-encoding": accept} if accept is not None else {})
    return await build(Compress, **options)(request, FakeUpstream(response))


async def content_of(response: Response) -> bytes:
    return b"".join([chunk async for chunk in response.body])


async def stream(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_small_body_is_compressed_at_once(encoding: str) -> None:
    response = await answered(response_of(), encoding)

    data = response.body.data
    assert data is not None
    assert response.headers["content-encoding"] == encoding
    assert response.headers["content-length"] == str(len(data))
    assert response.headers["vary"] == "accept-encoding"
    assert DECODE[encoding](data) == TEXT


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [65_536, 65_537, 300_000])
async def test_a_body_of_any_size_comes_out_whole(encoding: str, size: int) -> None:
    body = (TEXT * (size // len(TEXT) + 1))[:size]

    response = await answered(response_of(body), encoding)

    assert DECODE[encoding](await content_of(response)) == body
    assert response.headers.get("content-length") in (None, str(response.body.length))


def brotli_decoder() -> Callable[[bytes], bytes]:
    """Return a decoder that gives everything at once, where the library's own stops after each 32 KiB."""
    process = brotli.Decompressor().process

    def decode(data: bytes) -> bytes:
        return b"".join(iter(lambda: process(b""), b"")) if not data else process(data) + decode(b"")

    return decode


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_each_chunk_of_a_stream_leaves_at_once(encoding: str) -> None:
    decoders: dict[str, Any] = {
        "zstd": zstandard.ZstdDecompressor().decompressobj().decompress,
        "br": brotli_decoder(),
        "gzip": zlib.decompressobj(31).decompress,
    }
    arrived: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def upstream_body() -> AsyncIterator[bytes]:
        while (chunk := await arrived.get()) is not None:
            yield chunk

    response = await answered(response_of(upstream_body()), encoding)
    out = aiter(response.body)
    for chunk in (b"first", b"second", bytes(100_000), Random(0).randbytes(50_000)):
        arrived.put_nowait(chunk)
        seen = b""
        while len(seen) < len(chunk):
            seen += decoders[encoding](await asyncio.wait_for(anext(out), 5))
        assert seen == chunk
    arrived.put_nowait(None)
    assert all([rest async for rest in out])


@given(chunks=st.lists(st.binary(max_size=200)), encoding=st.sampled_from(ENCODINGS))
async def test_a_stream_comes_out_whole_and_without_empty_chunks(chunks: list[bytes], encoding: str) -> None:
    response = await answered(response_of(stream(chunks)), encoding)

    packed = [chunk async for chunk in response.body]
    assert all(packed)
    assert DECODE[encoding](b"".join(packed)) == b"".join(chunks)


async def test_the_upstreams_stream_is_closed_when_the_client_leaves() -> None:
    closed = []

    async def upstream_body() -> AsyncIterator[bytes]:
        try:
            yield TEXT
            yield TEXT
        finally:
            closed.append(True)

    response = await answered(response_of(upstream_body()))
    await anext(aiter(response.body))
    await response.aclose()

    assert closed == [True]


async def test_an_upstream_that_breaks_off_leaves_no_valid_end() -> None:
    async def upstream_body() -> AsyncIterator[bytes]:
        yield TEXT
        raise ConnectionError

    out = aiter((await answered(response_of(upstream_body()))).body)
    decoder = zlib.decompressobj(31)
    received = b""
    while len(received) < len(TEXT):
        received += decoder.decompress(await anext(out))
    with pytest.raises(ConnectionError):
        await anext(out)

    assert received == TEXT
    assert not decoder.eof


async def test_a_large_body_lets_other_requests_in_between() -> None:
    turns = 0
    done = asyncio.Event()

    async def other_requests() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    body = Random(0).randbytes(40 * SLICE_BYTES)
    response = await answered(response_of(body))
    async with asyncio.TaskGroup() as group:
        group.create_task(other_requests())
        assert gzip.decompress(await content_of(response)) == body
        done.set()

    assert turns >= 39


@pytest.mark.parametrize(
    "response",
    [
        response_of(b"short"),
        response_of(b""),
        response_of(content_type="image/png"),
        response_of(content_type="text/event-stream"),
        response_of(content_type="text/event-stream; charset=utf-8"),
        response_of(content_type=""),
        response_of(content_type="text/plain;" + "x" * 300),
        response_of(content_encoding="br"),
        response_of(content_range="bytes 0-4399/9999"),
        response_of(cache_control="public, No-Transform"),
        Response(200, {}, TEXT),
        Response(206, {"content-type": "text/plain"}, TEXT),
        Response(204, {"content-type": "text/plain"}),
        Response(304, {"content-type": "text/plain", "etag": '"1"'}),
        Response(101, {"content-type": "text/plain"}),
    ],
)
async def test_what_is_not_worth_it_or_not_allowed_is_left_alone(response: Response) -> None:
    headers, data = response.headers.copy(), response.body.data

    after = await answered(response)

    assert (after.headers, after.body.data) == (headers, data)


@pytest.mark.parametrize("accept", [None, "", "identity", "gzip;q=0", "deflate", "*;q=0", "x" * 300])
async def test_a_client_that_takes_no_coding_gets_none_and_caches_are_told(accept: str | None) -> None:
    response = await answered(response_of(), accept)

    assert (response.body.data, response.headers["vary"]) == (TEXT, "accept-encoding")
    assert "content-encoding" not in response.headers


async def test_the_answer_to_head_is_left_alone_but_for_vary() -> None:
    response = await answered(response_of(), method="HEAD")

    assert "content-encoding" not in response.headers
    assert response.headers["vary"] == "accept-encoding"


async def test_several_fields_of_accept_encoding_are_one_list() -> None:
    request = make_request(headers=[("accept-encoding", "gzip;q=0.5"), ("accept-encoding", "br")])

    response = await build(Compress)(request, FakeUpstream(response_of()))

    assert response.headers["content-encoding"] == "br"


async def test_a_body_that_would_grow_is_left_as_it_is() -> None:
    noise = Random(0).randbytes(2000)

    response = await answered(response_of(noise, etag='"1"'))

    assert (response.body.data, response.headers["etag"]) == (noise, '"1"')
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize(("etag", "after"), [('"a"', 'W/"a"'), ('W/"a"', 'W/"a"')])
async def test_a_strong_etag_becomes_weak(etag: str, after: str) -> None:
    assert (await answered(response_of(etag=etag))).headers["etag"] == after


async def test_what_was_true_of_the_bytes_before_is_taken_away() -> None:
    response = await answered(response_of(accept_ranges="bytes", content_md5="x", repr_digest="y", vary="Origin"))

    assert sorted(response.headers) == ["content-encoding", "content-length", "content-type", "vary"]
    assert response.headers["vary"] == "Origin, accept-encoding"


@pytest.mark.parametrize(
    ("content_type", "compressed"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/problem+json", True),
        ("image/svg+xml", True),
        ("text/css", True),
        ("application/octet-stream", False),
        ("application/jsonx", False),
        ("image/jpeg", False),
    ],
)
async def test_the_content_type_decides(content_type: str, compressed: bool) -> None:
    response = await answered(response_of(content_type=content_type))

    assert ("content-encoding" in response.headers) is compressed


async def test_options_say_what_is_compressed() -> None:
    options: dict[str, Any] = {"content_types": ["Image/*"], "min_size": "10B", "encodings": ["gzip"]}

    assert (await answered(response_of(content_type="text/plain"), **options)).body.data == TEXT
    small = await answered(response_of(b"0" * 100, content_type="image/x-icon"), "br, gzip", **options)
    assert small.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("gzip, br, zstd", "zstd"),
        ("gzip, br", "br"),
        ("gzip;q=1.0, br;q=0.9, zstd;q=0", "gzip"),
        ("*", "zstd"),
        ("*;q=0.1, gzip", "gzip"),
        ("zstd;q=0, *", "br"),
        ("GZIP;Q=0.5", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip ; q=0.001", "gzip"),
        ("br;q=2, gzip", "gzip"),
        ("br;level=3, gzip", "gzip"),
        ("br;q=0.1234, gzip;q=0.1", "gzip"),
        (" , ,gzip,, ", "gzip"),
        ("identity, gzip", "gzip"),
        ("identity;q=0, gzip;q=0.2", "gzip"),
        ("identity, gzip;q=0.9", None),
        ("gzip;q=0.000", None),
        ("deflate, compress", None),
        ("*;q=0", None),
        ("gzip;q=0, gzip", None),
        ("é", None),
    ],
)
def test_the_client_decides_and_then_the_order_offered(accept: str, encoding: str | None) -> None:
    assert negotiate(accept.encode("latin-1"), offered=ENCODINGS) == encoding


@given(st.binary())
def test_any_accept_encoding_can_be_read(value: bytes) -> None:
    assert all(0 <= weight <= 1 for weight in parse_accept_encoding(value).values())


_weights = st.dictionaries(st.sampled_from([*ENCODINGS, "*", "identity", "deflate"]), st.integers(0, 1000))


@given(_weights, st.sampled_from([", ", ",", " ,\t"]), st.sampled_from([";q=", "; q=", " ;\tQ="]))
def test_what_was_written_is_read(weights: dict[str, int], comma: str, q: str) -> None:
    text = comma.join(f"{coding}{q}{weight / 1000:.3f}" for coding, weight in weights.items())

    assert parse_accept_encoding(text.encode()) == {coding: weight / 1000 for coding, weight in weights.items()}


@given(_weights)
def test_nothing_refused_is_chosen_and_nothing_liked_better_is_passed_over(weights: dict[str, int]) -> None:
    text = ",".join(f"{coding};q={weight / 1000:.3f}" for coding, weight in weights.items())
    liked = {coding: weights.get(coding, weights.get("*", 0)) for coding in ENCODINGS}

    chosen = negotiate(text.encode(), offered=ENCODINGS)

    if chosen is None:
        assert max(liked.values()) == 0 or max(liked.values()) < weights["identity"]
    else:
        assert liked[chosen] == max(liked.values()) > 0


@pytest.mark.parametrize(("package", "encoding"), [("brotli", "br"), ("zstandard", "zstd")])
async def test_a_coding_that_is_not_installed_is_left_out_unless_it_is_asked_for(
    package: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    response = await answered(response_of(), f"{encoding}, gzip;q=0.1")

    assert response.headers["content-encoding"] == "gzip"
    with pytest.raises(ValueError, match=rf"expected the package {package} for {encoding} \(pip install"):
        build(Compress, encodings=[encoding])


@pytest.mark.parametrize(
    "options",
    [
        {"encodings": []},
        {"encodings": ["deflate"]},
        {"min_size": 100},
        {"content_types": ["text"]},
        {"content_types": ["text/html; charset=utf-8"]},
        {"gzip_level": 0},
        {"br_level": 7},
        {"zstd_level": 10},
        {"level": 3},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(Compress, **options)
