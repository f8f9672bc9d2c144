"""`Acts`: what people had plugins do at the admin API, so that every worker does it, now and later on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from meshwright.processes.fleet import ask
from meshwright.processes.worker_handle import Act, WorkerHandle

logger = logging.getLogger("meshwright.control")

MOST_KEPT = 1000
"""How many acts are kept; beyond it the oldest is forgotten."""

_Key = tuple[str, tuple[tuple[str, str], ...]]


class Acts:
    """The last act on each use of a plugin, and with each set of arguments, in the order in which they were made.

    They are done again in a worker that is new, and in all of them after a reload, so that what was switched by hand
    stays so. They go with the process.
    """

    def __init__(self) -> None:
        self._made: dict[_Key, str] = {}

    @property
    def made(self) -> Sequence[Act]:
        """What is kept, in the order in which it was made."""
        return [(use, action, dict(arguments)) for (use, arguments), action in self._made.items()]

    async def make(
        self, workers: Iterable[WorkerHandle], use: str, action: str, arguments: Mapping[str, str], within_s: float
    ) -> None:
        """Have every worker do it, and keep it if it lasts; raises ValueError or, when none did, ConnectionError."""
        answers = await ask(workers, _doing(use, action, arguments), within_s)
        for answer in answers.values():
            if isinstance(answer, ValueError):
                raise answer
        if all(isinstance(answer, BaseException) for answer in answers.values()):
            raise ConnectionError("there is no worker that could do it")
        logger.info("%s: %s%s, by hand", use, action, f" {dict(arguments)}" if arguments else "")
        if not any(answer is True for answer in answers.values()):
            return
        key = (use, tuple(sorted(arguments.items())))
        self._made.pop(key, None)
        self._made[key] = action
        if len(self._made) > MOST_KEPT:
            del self._made[next(iter(self._made))]

    async def make_again(self, workers: Iterable[WorkerHandle], within_s: float) -> None:
        """Have workers do what was kept; what they cannot do any more, because its use has gone, is forgotten."""
        asked = list(workers)
        for (use, arguments), action in list(self._made.items()):
            answers = await ask(asked, _doing(use, action, dict(arguments)), within_s)
            refused = [answer for answer in answers.values() if isinstance(answer, ValueError)]
            if refused:
                del self._made[use, arguments]
                logger.info("%s: %s, by hand, is forgotten: %s", use, action, refused[0])


def _doing(use: str, action: str, arguments: Mapping[str, str]) -> Callable[[WorkerHandle], Awaitable[bool]]:
    return lambda worker: worker.act(use, action, arguments)
