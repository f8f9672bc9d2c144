"""`LastGood`: the last good answer to each request that may come again, bounded in bytes; no freshness in here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from meshwright_plugins.filters.fallback.options import LastGoodOptions
from meshwright_sdk import Body, Headers, Identity, Request, Response, tee, variant_of, varies_with
from meshwright_sdk.headers import RawHeaders

_METHODS = frozenset(("GET", "HEAD"))
_PERSONAL = (b"authorization", b"cookie")
_NOT_KEPT = frozenset((b"set-cookie", b"date", b"age", b"content-length"))
_PARTIAL = 206
_OVERHEAD = 512
"""Bytes that an answer is taken to need beside its key, its fields and its content."""


Asked = tuple[str, RawHeaders, Identity | None]
"""What a request asks for: the key that answers to it are kept under, its fields, and who was known to ask.

It is taken before filters further in change the request, as the next one will be asked before they do.
"""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    fields: RawHeaders
    data: bytes
    at: float
    names: tuple[bytes, ...]
    """The request's fields that it depends on."""
    variant: bytes
    """What the request had there."""

    def suits(self, raw: RawHeaders) -> bool:
        """Return whether a request says the same in these fields."""
        return variant_of(self.names, raw) == self.variant

    def size(self, key: str) -> int:
        """Return the bytes that it takes with its key."""
        return _OVERHEAD + len(key) + len(self.data) + sum(len(name) + len(value) for name, value in self.fields)


class LastGood:
    """Answers of 2xx and what they were to, the last of those that vary; none that is in part or somebody's own.

    `shared` is whether several routes share it: then each has answers of its own.
    """

    def __init__(self, options: LastGoodOptions, now: Callable[[], float], *, shared: bool) -> None:
        self._options = options
        self._shared = shared
        self._now = now
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._answers)

    def asked_by(self, request: Request) -> Asked | None:
        """Return what a request asks for that is on its way inwards, or None when no answer to it is kept."""
        key = self._key_of(request) if request.method in _METHODS else None
        return (key, request.headers.raw.copy(), request.identity) if key is not None else None

    def _key_of(self, request: Request) -> str | None:
        if self._options.key is not None:
            what = self._options.key.of(request)
        elif request.identity is not None or any(request.headers.get_bytes(name) is not None for name in _PERSONAL):
            return None
        else:
            what = request.url  # with the port that the client has named: services put it into links
        route = request.route.name if self._shared and request.route is not None else ""
        return f"{request.method} {route}\n{what}"

    def get(self, asked: Asked) -> Response | None:
        """Return the kept answer with its Age (RFC 9111, section 5.1), unless it is too old or of another variant."""
        key, raw, _ = asked
        answer = self._answers.get(key)
        if answer is None or not answer.suits(raw):
            return None
        age_s = self._now() - answer.at
        if age_s > self._options.max_age:
            self._drop(key)
            return None
        self._answers.move_to_end(key)
        headers = Headers.from_raw([*answer.fields, (b"age", b"%d" % age_s)])
        return Response(answer.status, headers, Body(answer.data))

    def keep(self, asked: Asked, request: Request, response: Response) -> None:
        """Keep a good answer: now when its content is there, else when it has streamed by.

        None to a request of which a filter further in has found out who asks: that is in no key.
        """
        key, raw, identity = asked
        if request.identity is not identity:
            return
        status = response.status
        if status // 100 != 2 or status == _PARTIAL or response.tunnel is not None or not _may_be_kept(response):
            return
        names = varies_with(response.headers.raw)
        if names is None:
            return
        fields, variant = _kept(response), variant_of(names, raw)

        def put(data: bytes | None) -> None:
            if data is not None:
                self._put(key, _Answer(status, fields, data, self._now(), names, variant))

        if not response.body.spent:
            body = tee(response.body, int(self._options.max_body), put)
            if body is not response.body:
                response.body = body

    def _put(self, key: str, answer: _Answer) -> None:
        self._drop(key)
        self._answers[key] = answer
        self._size += answer.size(key)
        while self._size > self._options.max_size or len(self._answers) > self._options.max_answers:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: str) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self._size -= answer.size(key)


def _kept(response: Response) -> RawHeaders:
    """Return the fields as they are now, before filters further out put their own into them."""
    return [field for field in response.headers.raw if field[0] not in _NOT_KEPT]


def _may_be_kept(response: Response) -> bool:
    """Return whether it is for everybody, and has an end: a stream of events is of no use a second time."""
    for name, value in response.headers.raw:
        if name == b"cache-control" and any(word in value.lower() for word in (b"no-store", b"private")):
            return False
        if name == b"content-type" and value.lower().startswith(b"text/event-stream"):
            return False
    return True
