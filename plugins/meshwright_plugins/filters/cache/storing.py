"""`Storing`: what may be stored becomes an answer on the shelf, unless a change came between; no fetching in here."""

from __future__ import annotations

import logging
from email.utils import formatdate
from math import inf

from meshwright_plugins.filters.cache.answer import Answer
from meshwright_plugins.filters.cache.look import Look
from meshwright_plugins.filters.cache.memory import MemoryShelf
from meshwright_plugins.filters.cache.options import CacheOptions
from meshwright_plugins.filters.cache.shared import SharedShelf
from meshwright_plugins.filters.cache.terms import Terms, fields_of, is_useful, refusal, terms_of
from meshwright_sdk import Context, Entries, Response, variant_of, varies_with
from meshwright_sdk.headers import RawHeaders

logger = logging.getLogger("meshwright.cache")

_MOST_KEYS = 10_000
_REMEMBERED_S = 60.0
"""How long a change is remembered, so that what was asked for before it is not stored after it."""


class Storing:
    """Puts answers on a shelf and takes them from it; `open` counts the fetches whose end is still to come."""

    def __init__(self, options: CacheOptions, context: Context, shelf: MemoryShelf | SharedShelf) -> None:
        self.shelf = shelf
        self.open = 0
        self._cookies = options.store_with_cookies
        self._defaults = options.defaults()
        self._max_body = int(options.max_body)
        self._clock = context.clock
        self._place = context.place
        self._warned = False
        self._changed: Entries[float] = Entries(_MOST_KEYS)
        self._purged_at = -inf

    def terms(self, look: Look, status: int, raw: RawHeaders) -> Terms | None:
        """Return the terms on which a response may be stored, or None when it may not, or need not."""
        if look.request.identity is not look.identity:
            self._warn_of_identity()
            return None
        found = fields_of(raw)
        authorized = b"authorization" in look.noticed
        if refusal(status, found, authorized=authorized, cookies=self._cookies) is not None or varies_with(raw) is None:
            return None
        terms = terms_of(
            status,
            found,
            delay_s=max(0.0, self.shelf.now() - look.began),
            received_at=self._clock.wall(),
            defaults=self._defaults,
        )
        return terms if is_useful(found, terms) else None

    def _warn_of_identity(self) -> None:
        """Say once why answers are not stored: they would be given to clients that the filter has not seen."""
        if not self._warned:
            self._warned = True
            why = "a filter inside of the cache finds out who asks, and belongs around it"
            logger.warning("%s: answers are not stored: %s", self._place, why)

    def has_room_for(self, response: Response) -> bool:
        body = response.body
        return response.tunnel is None and not body.spent and (body.length is None or body.length <= self._max_body)

    def made(
        self, look: Look, status: int, fields: RawHeaders, terms: Terms, data: bytes, kept_at: float | None = None
    ) -> Answer:
        dated = any(name == b"date" for name, _ in fields)
        fields = [field for field in fields if field[0] != b"content-length"]
        if not dated:
            fields.append((b"date", formatdate(self._clock.wall(), usegmt=True).encode("ascii")))
        if status != 204:
            fields.append((b"content-length", b"%d" % len(data)))
        names = varies_with(fields) or ()  # one that suits no other request was refused by its terms
        return Answer(
            status,
            fields,
            data,
            terms,
            kept_at=self.shelf.now() if kept_at is None else kept_at,
            names=names,
            values=variant_of(names, look.raw),
        )

    async def put(self, look: Look, answer: Answer) -> bool:
        """Store the answer to a request; return whether nothing has changed since that was sent."""
        if isinstance(self.shelf, MemoryShelf):
            return self.put_now(self.shelf, look, answer)
        if self._is_outdated(look):
            return False
        await self.shelf.put(look.key, look.raw, answer)
        return True

    def put_now(self, shelf: MemoryShelf, look: Look, answer: Answer) -> bool:
        """Do the same where nothing has to be waited for."""
        if self._is_outdated(look):
            return False
        shelf.put(look.key, look.raw, answer)
        return True

    async def forget(self, key: str) -> None:
        """Give nothing any more that is stored under the key, or was asked for by now."""
        if self.open:
            now = self._clock.monotonic()
            self._changed.put(key, self.shelf.now(), now, now + _REMEMBERED_S)
        if isinstance(self.shelf, MemoryShelf):
            self.shelf.remove(key)
        else:
            await self.shelf.remove(key)

    def purge(self, prefix: str) -> None:
        """Give nothing any more whose key begins so; what is being fetched is not stored."""
        self._purged_at = self.shelf.now()
        self.shelf.purge(prefix)

    def _is_outdated(self, look: Look) -> bool:
        changed = self._changed.get(look.key, self._clock.monotonic())
        return look.began <= self._purged_at or (changed is not None and look.began <= changed.value)
