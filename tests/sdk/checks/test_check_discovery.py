from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from meshwright_sdk import Discovery, Instance, NoOptions
from meshwright_sdk.testing import build, check_discovery

ONE, TWO = Instance(url="http://10.0.0.1:80"), Instance(url="http://10.0.0.2:80")


class Sound(Discovery[NoOptions]):
    """A list that ends, as that of a file would."""

    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        yield (ONE, TWO)


class Registering(Discovery[NoOptions]):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.known = {ONE}
        self.changed = asyncio.Event()

    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        while True:
            self.changed.clear()
            yield list(self.known)
            await self.changed.wait()

    async def register(self, instance: Instance) -> None:
        self.known.add(instance)
        self.changed.set()

    async def deregister(self, instance: Instance) -> None:
        self.known.discard(instance)
        self.changed.set()


class NoIterator(Sound):
    async def watch(self) -> Any:  # type: ignore[override]
        return [ONE]


class JustAList(Sound):
    def watch(self) -> Any:
        return [ONE]


class OneByOne(Sound):
    async def watch(self) -> AsyncIterator[Any]:
        yield ONE
        yield TWO


class Urls(Sound):
    async def watch(self) -> AsyncIterator[Any]:
        yield ["http://10.0.0.1:80"]


class Twice(Sound):
    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        yield [ONE, ONE]


class EndsAtOnce(Sound):
    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        nothing: list[Sequence[Instance]] = []
        for instances in nothing:
            yield instances


class Raises(Sound):
    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        raise OSError("no server")
        yield []


class Silent(Sound):
    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        await asyncio.Event().wait()
        yield []


class OtherEachTime(Sound):
    begun = 0

    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        self.begun += 1
        yield [ONE] if self.begun == 1 else [TWO]


class Unstoppable(Sound):
    stopped: asyncio.Event

    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        yield [ONE, TWO]
        while not self.stopped.is_set():
            with suppress(asyncio.CancelledError):
                await self.stopped.wait()


class RegistersNothing(Registering):
    async def register(self, instance: Instance) -> None:
        pass


class NeverForgets(Registering):
    async def deregister(self, instance: Instance) -> None:
        self.changed.set()


class CannotRegister(Registering):
    async def register(self, instance: Instance) -> None:
        raise RuntimeError("no permission")


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("claims", "discoveries"):
        monkeypatch.setattr(f"meshwright_sdk.testing.checks.{module}.PATIENCE_S", 0.1)


@pytest.mark.parametrize("sound", [Sound, Registering])
async def test_a_sound_discovery_passes(sound: type[Discovery[Any]]) -> None:
    await check_discovery(build(sound))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (NoIterator, "watch(): expected an async iterator (`async def` with a `yield` in it is one); got a coroutine"),
        (JustAList, "watch(): expected an async iterator (`async def` with a `yield` in it is one); got a list"),
        (OneByOne, "watch: expected a sequence of instances each time, not one instance at a time; got Instance("),
        (Urls, "watch: expected every member to be an Instance; got 'http://10.0.0.1:80'"),
        (Twice, "watch: expected each instance once (a weight makes it count twice)"),
        (EndsAtOnce, "watch: expected a sequence of instances each time, not one instance at a time; got the end"),
        (Raises, "watch: expected the whole list at once; it raised OSError('no server')"),
        (Silent, "watch: expected the whole list at once; it took more than 0.1 s"),
        (OtherEachTime, "watch, begun anew: expected the whole list at once again"),
        (
            RegistersNothing,
            "watch after register: expected a list with the instance http://192.0.2.77:7777; it took more",
        ),
        (NeverForgets, "watch after deregister: expected a list without the instance http://192.0.2.77:7777; it took"),
        (
            CannotRegister,
            "register: expected the instance to be announced, or NotImplementedError where the system cannot",
        ),
    ],
)
async def test_a_broken_discovery_is_told_what_to_mend(broken: type[Discovery[Any]], message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        await check_discovery(build(broken))


async def test_a_watch_that_cannot_be_stopped_is_found() -> None:
    unstoppable = build(Unstoppable)
    unstoppable.stopped = asyncio.Event()

    with pytest.raises(AssertionError, match=re.escape("watch: expected it to end when it is cancelled")):
        await check_discovery(unstoppable)
    unstoppable.stopped.set()
    await asyncio.sleep(0)
