"""`Control`: the configuration's way from its source into every worker; building and serving it go elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Literal, Protocol

from meshwright.config.problems import listed
from meshwright.processes.acts import Acts
from meshwright.processes.collector import collector
from meshwright.processes.exposition import FamilyDump, dump
from meshwright.processes.fleet import Fleet, ask
from meshwright.processes.reading import Load, Reading
from meshwright.processes.worker_handle import WorkerHandle
from meshwright.traffic.checked import CheckedConfig, UnusableConfig
from meshwright_sdk import Clock, ConfigDocument, ConfigError, Counter, MeshwrightError, Metrics, SystemClock
from meshwright_sdk.sources import AnyConfigSource

logger = logging.getLogger("meshwright.control")

ACKNOWLEDGE_S = 35.0
"""How long all workers may take to be ready for a version: a little more than its parts have to start."""
ADMIT_S = 40.0
"""How long a new worker may take: it imports everything, and nothing waits for it but itself."""
WATCH_AGAIN_S = 5.0

Reason = Literal["configuration", "draining", "workers"]
"""Why a version was rejected."""


class Part(Protocol):
    """What lives beside the workers and follows the configuration too, such as the admin API's own address."""

    async def prepare(self, config: CheckedConfig, version: int) -> None:
        """Get ready for `version` beside what is in use; raises ConfigError."""

    async def commit(self, version: int) -> None:
        """Use what was prepared."""

    async def discard(self, version: int) -> None:
        """Drop what was prepared; a version that is unknown is no error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The configuration that is in use; `contents` says by name what of its text and its files it was made of."""

    version: int
    config: CheckedConfig
    reading: Reading
    at: float
    contents: Mapping[str, bytes]

    @property
    def document(self) -> ConfigDocument:
        """The text it was made of."""
        return self.reading.document


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A configuration that was not taken over, and every reason."""

    version: int
    at: float
    problems: Sequence[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a reload; `version` is the one in use afterwards, `reason` says why one was rejected."""

    result: Literal["applied", "unchanged", "rejected"]
    version: int
    problems: Sequence[object] = ()
    reason: Reason = "configuration"


class WorkersError(ConfigError):
    """The workers are why a version cannot be used, and not the version."""


class Control:
    """Numbers configurations and takes each into use everywhere or nowhere.

    Every attempt has a number of its own. It is prepared in all parts and workers, and only when all of them
    are ready it is committed; otherwise the one before goes on. Attempts never overlap. `counts` are the metrics
    of the control side itself.
    """

    def __init__(
        self,
        source: AnyConfigSource,
        load: Load,
        fleet: Fleet,
        *,
        clock: Clock | None = None,
        acknowledge_s: float = ACKNOWLEDGE_S,
    ) -> None:
        self.fleet = fleet
        self.parts: list[Part] = []
        self.applied: Applied | None = None
        self.last_rejected: Rejection | None = None
        self.draining = False
        self._source = source
        self._load = load
        self._clock = clock or SystemClock()
        self._acknowledge_s = acknowledge_s
        self._numbers = count(1)
        self._lock = asyncio.Lock()
        self._acts = Acts()
        self.counts = Metrics()
        self._reloads = self._count_what_happens()

    @property
    def ready(self) -> bool:
        """Whether traffic is served: a version is in use, a worker runs it, and no end is in sight."""
        return self.applied is not None and bool(self.fleet.workers) and not self.draining

    async def start(self) -> None:
        """Take the first configuration into use; raises OSError or MeshwrightError when there is none to be had."""
        async with self._lock:
            self.applied = await self._apply(await self._source.read(), next(self._numbers))

    async def reload(self, reason: str) -> Outcome:
        """Read the configuration again and take it into use, also when its text is what it was.

        The files it speaks of may have changed unseen. Never raises for a configuration that is wrong.
        """
        async with self._lock:
            if self.draining:
                return self._reject(next(self._numbers), ("the gateway is stopping",), "draining")
            try:
                document = await self._source.read()
            except (OSError, MeshwrightError) as error:
                return self._reject(next(self._numbers), _problems(error))
            return await self._try(document, reason)

    async def follow(self) -> None:
        """Take over each change that the source reports, until cancelled or until nothing can change any more."""
        while True:
            try:
                async for document in self._source.watch():
                    await self._changed(document)
            except asyncio.CancelledError:
                raise
            except BaseException:
                logger.exception("the configuration is watched no more; trying again in %g s", WATCH_AGAIN_S)
                await self._clock.sleep(WATCH_AGAIN_S)
            else:
                return

    async def admit(self, workers: Sequence[WorkerHandle], within_s: float = ADMIT_S) -> None:
        """Bring new workers to the version in use and count them in; raises ConfigError, and then counts none in."""
        async with self._lock:
            assert self.applied is not None
            reading, version = self.applied.reading, self.applied.version
            await _everywhere(workers, lambda worker: worker.prepare(reading, version), version, within_s)
            await _everywhere(workers, lambda worker: worker.commit(version, self._acts.made), version, within_s)
            await self._acts.make_again(workers, within_s)
            for worker in workers:
                self.fleet.join(worker)

    async def act(self, use: str, action: str, arguments: Mapping[str, str]) -> None:
        """Have a plugin do something in every worker, also in those to come; raises ValueError or ConnectionError."""
        async with self._lock:
            await self._acts.make(self.fleet.workers.values(), use, action, arguments, self._acknowledge_s)

    async def metrics(self) -> list[FamilyDump]:
        """Return everything that was counted, all workers added up."""
        return await self.fleet.metrics(dump(self.counts))

    async def _changed(self, document: ConfigDocument) -> None:
        async with self._lock:
            changed = self._changes(document)
            if not changed:
                self.last_rejected = None
                self._reloads["unchanged"].value += 1
                assert self.applied is not None
                self._source.depends_on(self.applied.config.files)
                logger.info("%s was touched, but says what version %d says", document.name, self.applied.version)
                return
            await self._try(document, f"{listed(changed, 'and')} changed")

    def _changes(self, document: ConfigDocument) -> Sequence[str]:
        """Return the names of what is no longer what the version in use was made of."""
        assert self.applied is not None
        before = self.applied.contents
        now = _contents(document, self.applied.config.files)
        return [name for name, content in now.items() if before.get(name) != content]

    async def _try(self, document: ConfigDocument, reason: str) -> Outcome:
        version = next(self._numbers)
        try:
            self.applied = await self._apply(document, version)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # of a plugin's code it may be any
            return self._reject(version, _problems(error), _reason(error))
        self.last_rejected = None
        self._reloads["applied"].value += 1
        logger.info("version %d is in use (%s)", version, reason)
        return Outcome(result="applied", version=version)

    async def _apply(self, document: ConfigDocument, version: int) -> Applied:
        """Take a document into use everywhere, or raise and leave everything as it was."""
        used = self.applied.config.files if self.applied is not None else frozenset[Path]()
        before = _contents(document, used)  # they are read from here on: a change meanwhile has to count as one
        try:
            reading = Reading(document, self._load)
            with collector.away():
                config = await self._read(reading, used)
                contents = {**_contents(document, config.files), **before}
                for part in self.parts:
                    await part.prepare(config, version)
                await self._prepare(reading, version)
        except BaseException:
            await self._discard(version)
            raise
        await self._commit(version)
        self._source.depends_on(config.files)
        return Applied(
            version=version,
            config=config,
            reading=reading,
            at=self._clock.wall(),
            contents=contents,
        )

    async def _read(self, reading: Reading, used: frozenset[Path]) -> CheckedConfig:
        """Return what a document says; a change of a file that it names counts from now on, also when it is wrong."""
        try:
            config = await reading.config()
        except UnusableConfig as error:
            self._source.depends_on(error.files | used)
            raise
        self._source.depends_on(config.files | used)
        return config

    async def _prepare(self, reading: Reading, version: int) -> None:
        """Have all workers prepare; raises ConfigError.

        A worker that is gone is not heard, unless all are: its replacement gets what will be in use. One that
        does not answer is given up, so that it holds up nothing again.
        """
        workers = self.fleet.workers.values()
        answers = dict(await ask(workers, lambda worker: worker.prepare(reading, version), self._acknowledge_s))
        gone = [worker for worker, error in answers.items() if isinstance(error, ConnectionError)]
        for worker in gone if len(gone) < len(answers) else ():
            self.fleet.leave(worker)
            del answers[worker]
        for worker, error in answers.items():
            if isinstance(error, TimeoutError):
                worker.give_up()
        _judge(answers, version, self._acknowledge_s)

    async def _commit(self, version: int) -> None:
        """Use what all have prepared; a worker that cannot is given up, for it can neither go on nor back."""
        acts = self._acts.made
        answers = await ask(
            self.fleet.workers.values(), lambda worker: worker.commit(version, acts), self._acknowledge_s
        )
        for worker, error in answers.items():
            if isinstance(error, BaseException):
                logger.error("worker %s did not take version %d into use: %r", worker.name, version, error)
                worker.give_up()
        await self._acts.make_again(self.fleet.workers.values(), self._acknowledge_s)
        for part in self.parts:
            await part.commit(version)

    async def _discard(self, version: int) -> None:
        await ask(self.fleet.workers.values(), lambda worker: worker.discard(version), self._acknowledge_s)
        for part in self.parts:
            await part.discard(version)

    def _reject(self, version: int, problems: Sequence[object], reason: Reason = "configuration") -> Outcome:
        assert self.applied is not None
        current = self.applied.version
        self.last_rejected = Rejection(version=version, at=self._clock.wall(), problems=problems)
        self._reloads["rejected"].value += 1
        logger.error("version %d is rejected and version %d goes on:", version, current)
        for problem in problems:
            logger.error("%s", problem)
        return Outcome(result="rejected", version=current, problems=problems, reason=reason)

    def _count_what_happens(self) -> dict[str, Counter]:
        metrics = self.counts
        metrics.gauge(
            "meshwright_config_version", "Version in use.", lambda: self.applied.version if self.applied else 0
        )
        metrics.gauge("meshwright_workers", "Workers that serve.", lambda: len(self.fleet.workers))
        return {
            result: metrics.counter("meshwright_reloads_total", "Reloads by what became of them.", result=result)
            for result in ("applied", "unchanged", "rejected")
        }


async def _everywhere(
    workers: Iterable[WorkerHandle],
    question: Callable[[WorkerHandle], Awaitable[None]],
    version: int,
    within_s: float,
) -> None:
    """Have every worker do its part for `version`; raises ConfigError with each different reason why one could not."""
    _judge(await ask(workers, question, within_s), version, within_s)


def _judge(answers: Mapping[WorkerHandle, BaseException | None], version: int, within_s: float) -> None:
    """Raise ConfigError with each different reason why a worker could not; WorkersError when all lie in workers."""
    failures = {worker: error for worker, error in answers.items() if error is not None}
    problems = [each for worker, error in failures.items() for each in _failure(worker, error, version, within_s)]
    if problems:
        lost = all(isinstance(error, TimeoutError | ConnectionError) for error in failures.values())
        raise (WorkersError if lost else ConfigError)(list(dict.fromkeys(problems)))


def _failure(worker: WorkerHandle, error: BaseException, version: int, within_s: float) -> Sequence[object]:
    if isinstance(error, ConfigError):
        return error.problems
    expected = f"worker {worker.name}: expected version {version} to be ready"
    if isinstance(error, TimeoutError):
        return (f"{expected} within {within_s:g} s; got no answer",)
    if isinstance(error, ConnectionError):
        return (f"{expected}; got the end of the worker",)
    return (f"{expected}; got {type(error).__name__}: {error}",)


def _reason(error: BaseException) -> Reason:
    return "workers" if isinstance(error, WorkersError) else "configuration"


def _problems(error: BaseException) -> Sequence[object]:
    if isinstance(error, ConfigError):
        return error.problems
    if isinstance(error, OSError | MeshwrightError):
        return (str(error),)
    logger.error("a reload failed in an unforeseen way", exc_info=error)
    return (f"the reload failed in an unforeseen way: {type(error).__name__}: {error}",)


def _contents(document: ConfigDocument, files: Iterable[Path]) -> dict[str, bytes]:
    """Return what changes when the text or a file that it speaks of does, by the names that people know them by."""
    found = {document.name: blake2b(document.text.encode(), digest_size=16).digest()}
    for file in sorted(files):
        name = file.relative_to(document.base_dir) if file.is_relative_to(document.base_dir) else file
        found[str(name)] = blake2b(_content(file), digest_size=16).digest()
    return found


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        return str(error.errno).encode()
