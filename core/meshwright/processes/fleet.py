"""`Fleet`: the workers there are at this moment, asked all at once; starting and replacing them goes elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from meshwright.processes.exposition import Dump, FamilyDump, add_up
from meshwright.processes.ledger import Ledger
from meshwright.processes.worker_handle import WorkerHandle

logger = logging.getLogger("meshwright.control")

T = TypeVar("T")

ANSWER_S = 2.0
"""How long a worker may take for a question that needs no work."""


class Fleet:
    """Every worker that serves, by name."""

    def __init__(self, *, answer_s: float = ANSWER_S) -> None:
        self.workers: dict[str, WorkerHandle] = {}
        self._ledger = Ledger()
        self._answer_s = answer_s

    def join(self, worker: WorkerHandle) -> None:
        """Count `worker` in from now on."""
        assert worker.name not in self.workers
        self.workers[worker.name] = worker

    def leave(self, worker: WorkerHandle) -> None:
        """Count `worker` out; what it had reported stays in the sums. One that never joined is no error."""
        if self.workers.get(worker.name) is worker:
            del self.workers[worker.name]
            self._ledger.retire(worker.name)

    async def statuses(self) -> list[dict[str, Any]]:
        """Return the status of each worker, its name as `worker`; one that does not answer has an `error` instead."""
        answers = await ask(self.workers.values(), lambda worker: worker.status(), self._answer_s)
        return [
            {"worker": worker.name, **_status_or_error(worker, answer)}
            for worker, answer in sorted(answers.items(), key=lambda item: item[0].name)
        ]

    async def metrics(self, own: Dump) -> list[FamilyDump]:
        """Return the sum over all workers and `own`, what the process that asks has counted itself."""
        answers = await ask(self.workers.values(), lambda worker: worker.metrics(), self._answer_s)
        for worker, answer in answers.items():
            if isinstance(answer, BaseException):
                logger.warning("worker %s: its metrics cannot be had: %r", worker.name, answer)
            elif self.workers.get(worker.name) is worker:
                self._ledger.report(worker.name, answer)
        return add_up((own, self._ledger.total()))

    async def states(self) -> list[dict[str, Any]]:
        """Return what plugins show of themselves: each use with its state in every worker, sorted by name."""
        uses: dict[str, dict[str, Any]] = {}
        answers = await ask(self.workers.values(), lambda worker: worker.state(), self._answer_s)
        for worker, answer in sorted(answers.items(), key=lambda item: item[0].name):
            for name, shown in answer.items() if not isinstance(answer, BaseException) else ():
                own = {key: shown[key] for key in ("state", "error") if key in shown}
                alike = {key: value for key, value in shown.items() if key not in own}
                use = uses.setdefault(name, {"use": name, **alike, "workers": []})
                use["workers"].append({"worker": worker.name, **own})
        return [uses[name] for name in sorted(uses)]

    async def explain(self, method: str, url: str, headers: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Return the explanation of the first worker; raises ConnectionError when there is none."""
        for worker in self.workers.values():
            async with asyncio.timeout(self._answer_s):
                return await worker.explain(method, url, headers)
        raise ConnectionError("there is no worker to ask")


async def ask(
    workers: Iterable[WorkerHandle], question: Callable[[WorkerHandle], Awaitable[T]], within_s: float
) -> Mapping[WorkerHandle, T | BaseException]:
    """Put a question to all of `workers` at once; return the answers, or what was raised instead of one."""

    async def one(worker: WorkerHandle) -> T:
        async with asyncio.timeout(within_s):
            try:
                return await question(worker)
            except (SystemExit, KeyboardInterrupt) as error:  # out of a task they would end the event loop
                raise RuntimeError(f"it raised {type(error).__name__}") from error

    asked = list(workers)
    answers = await asyncio.gather(*(one(worker) for worker in asked), return_exceptions=True)
    return dict(zip(asked, answers, strict=True))


def _status_or_error(worker: WorkerHandle, answer: dict[str, Any] | BaseException) -> dict[str, Any]:
    if isinstance(answer, TimeoutError):
        return {"pid": worker.pid, "error": "no answer in time"}
    if isinstance(answer, BaseException):
        return {"pid": worker.pid, "error": f"{type(answer).__name__}: {answer}"}
    return answer
