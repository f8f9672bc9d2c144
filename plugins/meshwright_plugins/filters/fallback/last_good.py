"""`LastGood`: the last good answer to each request that may come again, bounded in bytes; no freshness in here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from meshwright_plugins.filters.fallback.options import LastGoodOptions
from meshwright_sdk import Body, Headers, Request, Response, tee
from meshwright_sdk.headers import RawHeaders

_METHODS = frozenset(("GET", "HEAD"))
_PERSONAL = (b"authorization", b"cookie")
_NOT_KEPT = frozenset((b"set-cookie", b"date", b"age", b"content-length"))
_OVERHEAD = 512
"""Bytes that an answer without content is taken to need."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    fields: RawHeaders
    data: bytes
    at: float


class LastGood:
    """Answers of 2xx and what they were to; an answer that says `no-store` or `private` is not kept."""

    def __init__(self, options: LastGoodOptions, now: Callable[[], float]) -> None:
        self._options = options
        self._now = now
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._answers)

    def key_of(self, request: Request) -> str | None:
        """Return what the answers to the request are kept under, or None when none is."""
        if request.method not in _METHODS:
            return None
        if self._options.key is not None:
            return f"{request.method} {self._options.key.of(request)}"
        if any(request.headers.get_bytes(name) is not None for name in _PERSONAL):
            return None
        return f"{request.method} {request.scheme}://{request.host}{request.target}"

    def get(self, key: str) -> Response | None:
        """Return the kept answer with its Age (RFC 9111, section 5.1), unless it is too old."""
        answer = self._answers.get(key)
        if answer is None:
            return None
        age_s = self._now() - answer.at
        if age_s > self._options.max_age:
            self._drop(key)
            return None
        self._answers.move_to_end(key)
        headers = Headers.from_raw([*answer.fields, (b"age", b"%d" % age_s)])
        return Response(answer.status, headers, Body(answer.data))

    def keep(self, key: str, response: Response) -> None:
        """Keep a good answer: now when its content is there, else when it has streamed by."""
        if response.status // 100 != 2 or response.tunnel is not None or _is_personal(response):
            return
        status, fields = response.status, _kept(response)

        def put(data: bytes | None) -> None:
            if data is not None:
                self._put(key, _Answer(status, fields, data, self._now()))

        if not response.body.spent:
            body = tee(response.body, int(self._options.max_body), put)
            if body is not response.body:
                response.body = body

    def _put(self, key: str, answer: _Answer) -> None:
        self._drop(key)
        self._answers[key] = answer
        self._size += _OVERHEAD + len(answer.data)
        while self._size > self._options.max_size or len(self._answers) > self._options.max_answers:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: str) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self._size -= _OVERHEAD + len(answer.data)


def _kept(response: Response) -> RawHeaders:
    """Return the fields as they are now, before filters further out put their own into them."""
    return [field for field in response.headers.raw if field[0] not in _NOT_KEPT]


def _is_personal(response: Response) -> bool:
    for name, value in response.headers.raw:
        if name == b"cache-control" and any(word in value.lower() for word in (b"no-store", b"private")):
            return True
    return False
