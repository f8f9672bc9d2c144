"""`SharedShelf`: answers in the store, for all workers and gateways; what may be done with one goes elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import blake2b
from random import Random

from meshwright_plugins.filters.cache.answer import Answer
from meshwright_plugins.filters.cache.record import Varying, read, write
from meshwright_sdk import Entries, StoreError, variant_of
from meshwright_sdk.headers import RawHeaders
from meshwright_sdk.store import AnyStore

logger = logging.getLogger("meshwright.cache")

_MOST_NAMES_KNOWN = 10_000
_MOST_PURGES = 100


class SharedShelf:
    """Answers by key and variant. A store that is away is an empty one: no call raises StoreError.

    A key is one value: the answer or, where it varies, the fields that it depends on; then each variant is another one.
    """

    def __init__(self, store: AnyStore, prefix: str, now: Callable[[], float], random: Random, keep_s: float) -> None:
        self.now = now
        self.failures = 0
        self._store = store
        self._prefix = prefix
        self._random = random
        self._keep_s = keep_s
        self._known: Entries[tuple[bytes, ...]] = Entries(_MOST_NAMES_KNOWN)
        self._purges: dict[str, float] = {}

    async def get(self, key: str, raw: RawHeaders) -> Answer | None:
        """Return the answer for a request with these fields, fresh or not."""
        found = await self._read(key)
        if isinstance(found, Varying):
            self._known.put(key, found.names, self.now())
            found = await self._read(_variant_key(key, found, raw))
        if not isinstance(found, Answer) or self._is_purged(key, found):
            return None
        return found

    def variant(self, key: str, raw: RawHeaders) -> str:
        """Return what tells this request from others of the key, as far as it is known."""
        known = self._known.get(key, self.now())
        return key if known is None else f"{key}\n{variant_of(known.value, raw).decode('latin-1')}"

    async def put(self, key: str, raw: RawHeaders, answer: Answer) -> None:
        """Keep the answer to a request with these fields for as long as it can be of use."""
        now = self.now()
        terms = answer.terms
        ends = answer.ends + max(
            terms.stale_while_s, terms.stale_if_error_s, self._keep_s if answer.validators() else 0
        )
        if ends <= now:
            return
        before = await self._read(key)
        varying = before if isinstance(before, Varying) else None
        if varying is not None or answer.names:
            varying = self._joined(varying, answer.names, ends)
            self._known.put(key, varying.names, now)
            await self._write(key, varying, varying.ends - now)
            key = _variant_key(key, varying, raw)
        await self._write(key, answer, ends - now)

    def _joined(self, before: Varying | None, names: tuple[bytes, ...], ends: float) -> Varying:
        if before is not None and set(names) <= set(before.names):
            return before._replace(ends=max(before.ends, ends))
        joined = tuple(sorted({*names, *(before.names if before is not None else ())}))
        return Varying(joined, f"{self._random.getrandbits(64):x}", ends)

    async def remove(self, key: str) -> None:
        """Forget every variant."""
        try:
            await self._store.delete(self._place(key))
        except StoreError as error:
            self._failed(error)

    def purge(self, prefix: str) -> None:
        """Give nothing any more, in this worker, that was stored by now and has a key that begins so."""
        if len(self._purges) >= _MOST_PURGES:
            self._purges = {"": self.now()}
        self._purges[prefix] = self.now()

    def _is_purged(self, key: str, answer: Answer) -> bool:
        return any(answer.kept_at <= at and key.startswith(prefix) for prefix, at in self._purges.items())

    async def _read(self, key: str) -> Answer | Varying | None:
        try:
            record = await self._store.get(self._place(key))
        except StoreError as error:
            self._failed(error)
            return None
        return None if record is None else read(record)

    async def _write(self, key: str, content: Answer | Varying, ttl_s: float) -> None:
        try:
            await self._store.set(self._place(key), write(content), ttl_s=max(ttl_s, 1.0))
        except StoreError as error:
            self._failed(error)

    def _place(self, key: str) -> str:
        return self._prefix + blake2b(key.encode("utf-8", "surrogateescape"), digest_size=20).hexdigest()

    def _failed(self, error: StoreError) -> None:
        self.failures += 1
        logger.debug("the cache goes on without the store: %s", error)


def _variant_key(key: str, varying: Varying, raw: RawHeaders) -> str:
    return f"{key}\n{varying.generation}\n{variant_of(varying.names, raw).decode('latin-1')}"
