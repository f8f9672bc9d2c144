"""`compress`: responses in a coding that the client accepts. Nothing about requests or caching goes in here."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import lru_cache, partial
from importlib import import_module
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, Field

from meshwright_sdk import Body, CallNext, Context, Filter, Headers, Options, Request, Response, Size, add_member
from meshwright_sdk.tokens import TOKEN_BYTES

Encoding = Literal["zstd", "br", "gzip"]

SLICE_BYTES = 32 * 1024
"""Compressed in one go, about 1 ms at the default levels; the event loop gets its turn in between."""

_MEMBER = re.compile(
    rb"(" + TOKEN_BYTES.pattern + rb")(?:[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?", re.IGNORECASE
)
_ALIASES = {"x-gzip": "gzip"}  # RFC 9110, section 8.4.1.3
_MEDIA_RANGE = re.compile(r"[a-z0-9*!#$&^_.+-]+/[a-z0-9*!#$&^_.+-]+")
_WITHOUT_CONTENT = frozenset((204, 205, 206, 304))
_LONGEST_VALUE = 256
# Of the bytes before the coding: none of them is true of those after it.
_OUTDATED = (b"accept-ranges", b"content-digest", b"content-md5", b"digest", b"repr-digest")


def _media_range(text: str) -> str:
    if _MEDIA_RANGE.fullmatch(text.lower()) is None:
        raise ValueError(f"expected a content type such as text/html, text/* or application/*+json; got {text!r}")
    return text.lower()


class CompressOptions(Options):
    """What is compressed, and how."""

    encodings: Annotated[list[Encoding], Field(min_length=1)] | None = Field(
        None,
        description="The codings to offer, the preferred one first; when left out zstd, br and gzip, as installed.",
    )
    min_size: Size = Field(Size("1KiB"), description="Content that is known to be shorter is left as it is.")
    content_types: list[Annotated[str, AfterValidator(_media_range)]] = Field(
        [
            "text/*",
            *("application/json", "application/*+json", "application/x-ndjson", "application/javascript"),
            *("application/xml", "application/*+xml", "application/wasm", "image/svg+xml", "font/ttf", "font/otf"),
        ],
        description="What is worth it, * for any part; never text/event-stream.",
    )
    gzip_level: int = Field(5, ge=1, le=9, description="1 is fast, 9 is small.")
    br_level: int = Field(4, ge=0, le=6, description="0 is fast, 6 is small; above it other requests would be held up.")
    zstd_level: int = Field(
        3, ge=1, le=9, description="1 is fast, 9 is small; above it other requests would be held up."
    )


class Compress(Filter[CompressOptions]):
    """Compress responses with zstd, br or gzip, as the client's `accept-encoding` asks (RFC 9110, section 12.5.3).

    The client's weights decide, and the order of `encodings` where they are equal. Left as they are: content that is
    short, of another type or encoded already, parts of it (206), event streams, and what says `no-transform`. What
    streams is compressed chunk by chunk, and each chunk leaves at once. A strong `etag` becomes weak, and `vary` says
    that the response depends on `accept-encoding`.

    br and zstd need the packages brotli and zstandard: `pip install 'meshwright[compress]'`.

    Example:
        filters:
          - compress: {encodings: [br, gzip], min_size: 512B}
    """

    def __init__(self, options: CompressOptions, context: Context) -> None:
        super().__init__(options, context)
        self._encoders = _encoders(options)
        offered = tuple(self._encoders)
        self._choose: Callable[[bytes], str | None] = lru_cache(256)(partial(negotiate, offered=offered))
        self._compressible: Callable[[bytes], bool] = lru_cache(256)(partial(_matches, _ranges(options.content_types)))
        self._minimum = max(1, int(options.min_size))

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        accepted = b",".join([value for name, value in request.headers.raw if name == b"accept-encoding"])
        response = await call_next(request)
        if self._suits(response):
            add_member(response.headers, b"vary", b"accept-encoding")
            if 0 < len(accepted) <= _LONGEST_VALUE and request.method != "HEAD":
                encoding = self._choose(accepted)
                if encoding is not None:
                    self._encode(response, encoding)
        return response

    def _suits(self, response: Response) -> bool:
        length = response.body.length
        if (
            response.status < 200
            or response.status in _WITHOUT_CONTENT
            or (length is not None and length < self._minimum)
        ):
            return False
        headers = response.headers
        content_type = headers.get_bytes(b"content-type")
        if content_type is None or len(content_type) > _LONGEST_VALUE or not self._compressible(content_type):
            return False
        return headers.get_bytes(b"content-encoding") in (None, b"", b"identity") and not _is_fixed(headers)

    def _encode(self, response: Response, encoding: str) -> None:
        encoder = self._encoders[encoding]()
        body, data = response.body, response.body.data
        if data is None or len(data) > 2 * SLICE_BYTES:
            response.body = Body.stream(_packed(body, encoder))
        else:
            packed = encoder.feed(data) + encoder.finish()
            if len(packed) >= len(data):
                return
            response.body = packed
        headers = response.headers
        headers.set_bytes(b"content-encoding", encoding.encode("ascii"))
        headers.remove(*_OUTDATED)
        etag = headers.get_bytes(b"etag")
        if etag is not None and etag.startswith(b'"'):
            headers.set_bytes(b"etag", b"W/" + etag)


def parse_accept_encoding(value: bytes) -> dict[str, float]:
    """Return the weight of each coding, in lower case; members that are no valid coding and weight are passed over."""
    weights: dict[str, float] = {}
    for member in value.split(b","):
        parts = _MEMBER.fullmatch(member.strip(b" \t"))
        if parts is not None:
            coding = parts[1].decode("ascii").lower()
            weights.setdefault(_ALIASES.get(coding, coding), float(parts[2] or 1))
    return weights


def negotiate(value: bytes, *, offered: Sequence[str]) -> str | None:
    """Return the coding of `offered` that the client likes best, the first of equals, or None for none of them."""
    weights = parse_accept_encoding(value)
    others = weights.get("*", 0.0)
    best = max(offered, key=lambda coding: weights.get(coding, others))
    weight = weights.get(best, others)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


def _ranges(media_ranges: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(each).replace(r"\*", "[^/]+") for each in media_ranges) or "(?!)")


def _matches(ranges: re.Pattern[str], content_type: bytes) -> bool:
    essence = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    return essence != "text/event-stream" and ranges.fullmatch(essence) is not None


def _is_fixed(headers: Headers) -> bool:
    """Return whether the origin forbids to change the content (RFC 9111, section 5.2.2.6), or it is a part only."""
    return any(
        name == b"content-range" or (name == b"cache-control" and b"no-transform" in value.lower())
        for name, value in headers.raw
    )


class _Encoder(Protocol):
    """The compression of one content."""

    def feed(self, data: bytes) -> bytes:
        """Take `data`, return what is ready."""

    def flush(self) -> bytes:
        """Return the rest of what was fed, so that the client can read all of it."""

    def finish(self) -> bytes:
        """Return the rest and the end."""


async def _packed(body: Body, encoder: _Encoder) -> AsyncIterator[bytes]:
    """Yield the content of `body` compressed; never empty chunks, and nothing is held back while it streams."""
    streams = body.data is None
    async for chunk in body:
        for start in range(0, len(chunk), SLICE_BYTES):
            if start:
                await asyncio.sleep(0)
            if ready := encoder.feed(chunk[start : start + SLICE_BYTES]):
                yield ready
        if streams and (ready := encoder.flush()):
            yield ready
    if ready := encoder.finish():
        yield ready


class _Gzip:
    """RFC 1952, by the standard library."""

    __slots__ = ("_compressor", "feed")

    def __init__(self, level: int) -> None:
        self._compressor = zlib.compressobj(level, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        self.feed = self._compressor.compress

    def flush(self) -> bytes:
        return self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._compressor.flush()


class _Brotli:
    """RFC 7932, by the package brotli; the window is 512 KiB, which bounds the memory of each response."""

    __slots__ = ("feed", "finish", "flush")

    def __init__(self, module: Any, level: int) -> None:
        compressor = module.Compressor(quality=level, lgwin=19)
        self.feed: Callable[[bytes], bytes] = compressor.process
        self.flush: Callable[[], bytes] = compressor.flush
        self.finish: Callable[[], bytes] = compressor.finish


class _Zstd:
    """RFC 8878, by the package zstandard; the window is 512 KiB, well within what clients must take (RFC 9659)."""

    __slots__ = ("_block", "_compressor", "feed")

    def __init__(self, module: Any, level: int) -> None:
        parameters = module.ZstdCompressionParameters.from_level(level, window_log=19)
        self._compressor = module.ZstdCompressor(compression_params=parameters).compressobj()
        self._block = module.COMPRESSOBJ_FLUSH_BLOCK
        self.feed: Callable[[bytes], bytes] = self._compressor.compress

    def flush(self) -> bytes:
        data: bytes = self._compressor.flush(self._block)
        return data

    def finish(self) -> bytes:
        data: bytes = self._compressor.flush()
        return data


def _encoders(options: CompressOptions) -> dict[str, Callable[[], _Encoder]]:
    """Return a maker of encoders for each coding; raises ValueError for one that is asked for and not installed."""
    encodings: Sequence[Encoding] = options.encodings or ("zstd", "br", "gzip")
    encoders: dict[str, Callable[[], _Encoder]] = {}
    for encoding in encodings:
        try:
            encoders[encoding] = _encoder(encoding, options)
        except ImportError as error:
            if options.encodings is not None:
                raise ValueError(
                    f"expected the package {error.name} for {encoding} (pip install 'meshwright[compress]'); got none"
                ) from error
    return encoders


def _encoder(encoding: Encoding, options: CompressOptions) -> Callable[[], _Encoder]:
    if encoding == "zstd":
        return partial(_Zstd, import_module("zstandard"), options.zstd_level)
    if encoding == "br":
        return partial(_Brotli, import_module("brotli"), options.br_level)
    return partial(_Gzip, options.gzip_level)
