"""`MemoryShelf`: answers in this worker's memory, bounded in bytes; what may be done with one goes elsewhere."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from meshwright_plugins.filters.cache.answer import Answer
from meshwright_sdk import variant_of
from meshwright_sdk.headers import RawHeaders


class _Varying:
    """The fields that answers under one key depend on, all of them taken together, and the variants there are."""

    __slots__ = ("names", "variants")

    def __init__(self, names: tuple[bytes, ...]) -> None:
        self.names = names
        self.variants: set[bytes] = set()


class MemoryShelf:
    """Answers by key and variant; when there is no room, the one that was used the longest ago goes."""

    def __init__(self, size_bytes: int, now: Callable[[], float]) -> None:
        self.now = now
        self.size = 0
        self.evicted = 0
        self._room = size_bytes
        self._answers: OrderedDict[tuple[str, bytes], Answer] = OrderedDict()
        self._varying: dict[str, _Varying] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str, raw: RawHeaders) -> Answer | None:
        """Return the answer for a request with these fields, fresh or not."""
        varying = self._varying.get(key) if self._varying else None
        place = (key, b"" if varying is None else variant_of(varying.names, raw))
        answer = self._answers.get(place)
        if answer is not None:
            self._answers.move_to_end(place)
        return answer

    def variant(self, key: str, raw: RawHeaders) -> str:
        """Return what tells this request from others of the key, as far as it is known."""
        varying = self._varying.get(key)
        return key if varying is None else f"{key}\n{variant_of(varying.names, raw).decode('latin-1')}"

    def put(self, key: str, raw: RawHeaders, answer: Answer) -> None:
        """Keep the answer to a request with these fields, in place of any before it."""
        varying = self._varying_by(key, answer.names)
        values = b"" if varying is None else variant_of(varying.names, raw)
        self._drop((key, values))
        size = answer.size = answer.size + len(key) + len(values)
        if size > self._room:
            return
        if varying is not None:
            self._varying[key] = varying
            varying.variants.add(values)
        self._answers[key, values] = answer
        self.size += size
        while self.size > self._room:
            self._drop(next(iter(self._answers)))
            self.evicted += 1

    def _varying_by(self, key: str, names: tuple[bytes, ...]) -> _Varying | None:
        """Return every field that answers under the key depend on, these included.

        Where there are more of them than before, what is there can be found no more, and goes.
        """
        varying = self._varying.get(key)
        known = varying.names if varying is not None else ()
        if set(names) <= set(known):
            return varying
        self.remove(key)
        return _Varying(tuple(sorted({*names, *known})))

    def remove(self, key: str) -> None:
        """Forget every variant."""
        varying = self._varying.get(key)
        for values in (b"",) if varying is None else tuple(varying.variants):
            self._drop((key, values))

    def purge(self, prefix: str) -> None:
        """Forget whatever has a key that begins so."""
        for place in [place for place in self._answers if place[0].startswith(prefix)]:
            self._drop(place)

    def _drop(self, place: tuple[str, bytes]) -> None:
        answer = self._answers.pop(place, None)
        if answer is None:
            return
        self.size -= answer.size
        varying = self._varying.get(place[0])
        if varying is not None:
            varying.variants.discard(place[1])
            if not varying.variants:
                del self._varying[place[0]]
