"""`cache`: answers that are used again (RFC 9111). Degrading when a service is down goes elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from meshwright_plugins.filters.cache.answer import Answer, Use
from meshwright_plugins.filters.cache.counts import Counts
from meshwright_plugins.filters.cache.directives import NOTHING, Directives, parse
from meshwright_plugins.filters.cache.fetching import Fetching
from meshwright_plugins.filters.cache.keys import Keys
from meshwright_plugins.filters.cache.look import Look, noticed_in
from meshwright_plugins.filters.cache.memory import MemoryShelf
from meshwright_plugins.filters.cache.options import CacheOptions
from meshwright_plugins.filters.cache.shared import SharedShelf
from meshwright_plugins.filters.cache.storing import Storing
from meshwright_sdk import CallNext, Context, DownstreamError, Filter, Request, Response

_ALONE = frozenset((b"range", b"if-range", b"if-match", b"if-unmodified-since"))
"""Requests with these are passed on: what is stored is whole, and what is matched is the service's business."""
_SAFE = frozenset(("OPTIONS", "TRACE"))
_NO_CACHE: Directives = {"no-cache": ""}


class Cache(Filter[CacheOptions]):
    """Keep answers and give them again, as RFC 9111 says for a cache that many clients share.

    Fresh is what the service says: `s-maxage`, `max-age`, `Expires`. An answer without a word is not stored unless
    `default_ttl` or `heuristic` allow it. `private`, `no-store` and `Vary: *` are heeded; `Vary` makes variants. A
    stale answer is validated by `ETag` and `Last-Modified`; `stale-while-revalidate` gives it meanwhile, and
    `stale-if-error` when the service fails. What a client asks by `If-None-Match` or `If-Modified-Since` is
    answered here; HEAD is answered by what a GET has left. Requests with a body, `Range`, `If-Match` or an upgrade are
    passed on. After a PUT, POST, PATCH or DELETE that succeeds, what is stored for its URL, `Location` and
    `Content-Location` is forgotten.

    Requests for the same thing wait for one fetch: for `max_wait` at most, and not for a client that is slow to
    take it. When who fetches leaves, the next one takes over. What turns out not to be stored is remembered for
    `pass_for`, and requests for it wait for nothing.

    It is stricter than the RFC where clients could see what is another's: an answer that sets cookies is not stored
    unless `store_with_cookies`, and a request with `Authorization` is given only what says `public`, `s-maxage` or
    `must-revalidate`. It is laxer in one thing: after `s-maxage` an explicit `stale-while-revalidate` or
    `stale-if-error` beside it counts. Stored are 200, 203, 204, 300, 301, 302, 307, 308, 404, 405, 410, 414, 451 and
    501; not 206, and nothing marked `x-degraded`.

    Stored answers have `Age`, and all have `Cache-Status` (RFC 9211); counts are in `meshwright_cache_requests_total`.
    `purge` at the admin API forgets everything, or what has a URL that begins with `prefix`, such as
    `http://shop.example.com/orders`, or with an own `key`, what has a key that begins so. With `shared` the answers are
    in the store: one that is away is an empty one, and `purge` holds in the gateway that is asked, not in others.

    Put it inside of what decides who may ask, and of limits that count clients' requests; outside of `fallback`,
    `timeout`, `retry`, `circuit_breaker` and `concurrency`, which are for requests that reach the service. A filter
    inside of it is not asked about what is stored: where one has found out who asks (`request.identity`), the answer is
    not stored, and the log says so once.

    Example:
        filters:
          - cache: {max_size: 256MiB, stale_while_revalidate: 30s, stale_if_error: 1h}
    """

    goes_inside: ClassVar[Mapping[str, str]] = {"quota": "requests that the cache answers are not counted"}
    actions: ClassVar[Mapping[str, str]] = {
        "purge": "Forget what is stored: all, or what has a URL that begins with `prefix`."
    }
    momentary: ClassVar[frozenset[str]] = frozenset(("purge",))

    def __init__(self, options: CacheOptions, context: Context) -> None:
        super().__init__(options, context)
        self._keys = Keys(options.key, shared=context.route is None and context.service is None)
        self._memory = None if options.shared else MemoryShelf(int(options.max_size), context.clock.monotonic)
        self._shared = _shared(options, context) if options.shared else None
        shelf = self._memory if self._memory is not None else self._shared
        assert shelf is not None
        self._now = shelf.now
        self._heeds = options.client_directives
        self._name = options.name.encode("ascii")
        self._counts = Counts(context)
        self._hits = self._counts.hit
        self._storing = Storing(options, context, shelf)
        self._fetching = Fetching(options, context, self._storing, self._counts)
        self._declare(context)

    def _declare(self, context: Context) -> None:
        memory, shared, metrics, labels = self._memory, self._shared, context.metrics, context.labels
        if memory is not None:
            metrics.gauge("meshwright_cache_bytes", "Bytes of answers stored.", lambda: memory.size, **labels)
            metrics.gauge("meshwright_cache_answers", "Answers stored.", lambda: len(memory), **labels)
            metrics.counter(
                "meshwright_cache_evicted_total", "Answers that made room.", lambda: memory.evicted, **labels
            )
        if shared is not None:
            metrics.counter(
                "meshwright_cache_store_failures_total",
                "Calls that the store failed.",
                lambda: shared.failures,
                **labels,
            )

    async def close(self) -> None:
        self._storing.purge("")

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        method = request.method
        if method not in ("GET", "HEAD"):
            return await (call_next(request) if method in _SAFE else self._changed(request, call_next))
        raw = request.headers.raw
        noticed = noticed_in(raw)
        asked = self._asked(noticed) if noticed else NOTHING
        if request.upgrade or request.body.data != b"" or (noticed and not _ALONE.isdisjoint(noticed)):
            return await self._bypass(request, call_next)
        if "no-store" in asked:
            return await self._bypass(request, call_next)
        key = self._keys.of(request)
        memory = self._memory
        answer = memory.get(key, raw) if memory is not None else await self._get_shared(key, raw)
        now = self._now()
        if answer is not None and b"authorization" in noticed and not answer.terms.for_all:
            answer = None
        if answer is not None and answer.use(now, asked) is Use.FRESH:
            self._hits.value += 1
            return answer.give(method, noticed, now, b"%b; hit; ttl=%d" % (self._name, answer.ends - now))
        look = Look(request, call_next, key, noticed, now)
        return await self._ask(look, answer, asked)

    async def _ask(self, look: Look, answer: Answer | None, asked: Directives) -> Response:
        """Answer what cannot be by something fresh."""
        if answer is not None:
            now = look.began
            look.stored, look.why = answer, b"stale" if answer.ends <= now or answer.terms.validated else b"request"
            use = answer.use(now, asked)
            if use is Use.WHILE:
                self._fetching.refresh(look)
            if use is not Use.ASK:
                self._counts.stale.value += 1
                return answer.give(look.method, look.noticed, now, b"%b; hit; ttl=%d" % (self._name, answer.ends - now))
        if "only-if-cached" in asked:
            raise DownstreamError(
                "cache: expected a stored answer (only-if-cached); got none", status=504, code="not_cached"
            )
        look.insists = not asked.keys().isdisjoint(("no-cache", "max-age", "min-fresh"))
        return await self._fetching.answer(look)

    def _asked(self, noticed: Mapping[bytes, bytes]) -> Directives:
        """Return what the client says, where it is heeded (RFC 9111, section 5.4, for Pragma)."""
        if not self._heeds:
            return NOTHING
        value = noticed.get(b"cache-control")
        if value is not None:
            return parse(value)
        return _NO_CACHE if b"no-cache" in noticed.get(b"pragma", b"").lower() else NOTHING

    async def _get_shared(self, key: str, raw: list[tuple[bytes, bytes]]) -> Answer | None:
        assert self._shared is not None
        return await self._shared.get(key, raw)

    async def _bypass(self, request: Request, call_next: CallNext) -> Response:
        self._counts.bypass.value += 1
        response = await call_next(request)
        response.headers.raw.append((b"cache-status", self._name + b"; fwd=bypass"))
        return response

    async def _changed(self, request: Request, call_next: CallNext) -> Response:
        """Pass on what may change something, and forget what is stored of it when it did (RFC 9111, section 4.4)."""
        response = await call_next(request)
        if 200 <= response.status < 400:
            for key in self._keys.changed(request, response):
                await self._storing.forget(key)
        return response

    def state(self) -> Mapping[str, Any]:
        memory = self._memory
        size = {} if memory is None else {"answers": len(memory), "bytes": memory.size}
        return {**size, "fetches": len(self._fetching.flights), "requests": self._counts.shown()}

    def act(self, action: str, arguments: Mapping[str, str]) -> None:
        unknown = arguments.keys() - {"prefix"}
        if unknown:
            raise ValueError(f"arguments: expected prefix or none; got {', '.join(sorted(unknown))}")
        prefix = arguments.get("prefix", "")
        if prefix and self.options.key is None and not prefix.startswith(("http://", "https://")):
            raise ValueError(f"prefix: expected a URL or its beginning, such as http://host/path; got {prefix!r}")
        self._storing.purge(prefix)


def _shared(options: CacheOptions, context: Context) -> SharedShelf:
    if context.store is None:
        raise ValueError("shared: expected false where there is no store; got true")
    return SharedShelf(
        context.store, f"cache1:{context.owner}:", context.clock.wall, context.random, float(options.keep_stale)
    )
