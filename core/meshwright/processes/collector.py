"""`Collector`: when Python's garbage collector may look at what a reload makes; what is made goes elsewhere."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RELOADS_UNSEEN = 50
"""After how many reloads it looks at everything once: 20 ms for a small configuration, 0.3 s for 10,000 routes."""

YOUNG_OBJECTS = 50_000
"""So many objects more than before, and it looks at them. Python's 700 are there again and again only because some
requests are on their way, for what these make ends by its counts: to look at it was 4 % of a request. With 10,000
it still went again and again through what a thousand waiting requests hold."""

YOUNG = 1
"""The generation up to which it looks before each reload: a few thousand objects, 1 ms."""


class Collector:
    """Keeps the garbage collector off what a reload makes, while it is made and from then on.

    Of 10,000 routes it took 1 s of 2.5 s, and stopped all traffic for up to 0.9 s at once. What is made lives until the
    next reload anyway, and then ends by its counts; what plugins leave in cycles is found once in RELOADS_UNSEEN.
    """

    def __init__(self) -> None:
        self._users = 0
        self._unseen = 0
        self._was_enabled = True

    def settle_in(self) -> None:
        """Have it look as seldom as suits a process that serves requests; for a process of our own."""
        gc.set_threshold(YOUNG_OBJECTS)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Keep it away from what is made inside; uses may overlap."""
        if self._users == 0:
            self._begin()
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                self._end()

    def _begin(self) -> None:
        self._unseen += 1
        if self._unseen > RELOADS_UNSEEN:
            gc.unfreeze()
            gc.collect()
            self._unseen = 0
        elif gc.isenabled():
            gc.collect(YOUNG)  # what is garbage by now would be kept too
        self._was_enabled = gc.isenabled()
        gc.disable()

    def _end(self) -> None:
        gc.freeze()
        if self._was_enabled:
            gc.enable()


collector = Collector()
"""The one of this process."""
