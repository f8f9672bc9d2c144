from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from meshwright_sdk import NoOptions, Rate, Store, Taken
from meshwright_sdk.testing import ManualClock, build, check_store


class Sound(Store[NoOptions]):
    """The contract in the fewest lines: nothing is bounded, and nothing is ever cleared away."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.values: dict[str, tuple[bytes, float]] = {}
        self.buckets: dict[str, tuple[float, float]] = {}
        self.windows: dict[str, list[float]] = {}
        self.leases: dict[str, tuple[str, float]] = {}
        self.queues: dict[str, list[list[bytes]]] = {}

    @property
    def now(self) -> float:
        return self.context.clock.monotonic()

    def end(self, ttl_s: float | None) -> float:
        if ttl_s is not None and ttl_s <= 0:
            raise ValueError("ttl_s: expected more than 0")
        return float("inf") if ttl_s is None else self.now + ttl_s

    async def get(self, key: str) -> bytes | None:
        value, end = self.values.get(key, (None, 0.0))
        return value if end > self.now else None

    async def set(self, key: str, value: bytes, *, ttl_s: float | None = None) -> None:
        self.values[key] = (value, self.end(ttl_s))

    async def delete(self, key: str) -> bool:
        return self.values.pop(key, (b"", 0.0))[1] > self.now

    async def increment(self, key: str, amount: int = 1, *, ttl_s: float | None = None) -> int:
        end = self.end(ttl_s)
        before = await self.get(key)
        count = int(before or 0) + amount
        self.values[key] = (b"%d" % count, self.values[key][1] if before is not None else end)
        return count

    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        if not 0 < amount <= burst:
            raise ValueError("amount: expected 1 to the burst")
        tokens, since = self.buckets.get(key, (burst, self.now))
        tokens = min(burst, tokens + (self.now - since) * rate.per_second) + 1e-9
        granted = amount if tokens >= amount else 0
        self.buckets[key] = (tokens - granted, self.now)
        wait_s = 0.0 if granted else (amount - tokens) / rate.per_second
        return Taken(granted, wait_s, int(tokens - granted), (burst - tokens + granted) / rate.per_second)

    async def take_window(self, key: str, limit: int, window_s: float, amount: int = 1) -> Taken:
        if not 0 < amount <= limit or window_s <= 0:
            raise ValueError("amount: expected 1 to the limit, and a window")
        times = [time for time in self.windows.get(key, ()) if self.now - time < window_s - 1e-9]
        granted = amount if len(times) + amount <= limit else 0
        times += [self.now] * granted
        self.windows[key] = times
        wait_s = 0.0 if granted else times[len(times) + amount - limit - 1] + window_s - self.now
        return Taken(granted, wait_s, limit - len(times), times[-1] + window_s - self.now)

    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes, *, ttl_s: float | None = None
    ) -> bool:
        end = self.end(ttl_s)
        if await self.get(key) != expected:
            return False
        self.values[key] = (value, end)
        return True

    async def publish(self, channel: str, message: bytes) -> None:
        for queue in self.queues.get(channel, ()):
            queue.append(message)

    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        queue: list[bytes] = []
        self.queues.setdefault(channel, []).append(queue)
        return self.messages(queue)

    async def messages(self, queue: list[bytes]) -> AsyncIterator[bytes]:
        while True:
            yield queue.pop(0)

    async def acquire(self, key: str, holder: str, *, ttl_s: float) -> bool:
        end = self.end(ttl_s)
        owner, until = self.leases.get(key, (holder, 0.0))
        if owner != holder and until > self.now:
            return False
        self.leases[key] = (holder, end)
        return True

    async def release(self, key: str, holder: str) -> bool:
        owner, until = self.leases.get(key, ("", 0.0))
        if owner != holder or until <= self.now:
            return False
        del self.leases[key]
        return True


class EmptyIsNothing(Sound):
    async def get(self, key: str) -> bytes | None:
        return await super().get(key) or None


class Strings(Sound):
    async def get(self, key: str) -> Any:
        value = await super().get(key)
        return None if value is None else value.decode("latin-1")


class KeepsForEver(Sound):
    async def set(self, key: str, value: bytes, *, ttl_s: float | None = None) -> None:
        self.end(ttl_s)
        await super().set(key, value)


class KeepsTheOldTime(Sound):
    async def set(self, key: str, value: bytes, *, ttl_s: float | None = None) -> None:
        end = self.values[key][1] if key in self.values else self.end(ttl_s)
        self.values[key] = (value, end)


class DeleteSaysNothing(Sound):
    async def delete(self, key: str) -> Any:
        await super().delete(key)


class Prolongs(Sound):
    async def increment(self, key: str, amount: int = 1, *, ttl_s: float | None = None) -> int:
        count = await super().increment(key, amount, ttl_s=ttl_s)
        self.values[key] = (self.values[key][0], self.end(ttl_s))
        return count


class LosesCounts(Sound):
    async def increment(self, key: str, amount: int = 1, *, ttl_s: float | None = None) -> int:
        before = int(await self.get(key) or 0)
        await self.context.clock.sleep(0)
        count = before + amount
        self.values[key] = (b"%d" % count, self.values[key][1] if before else self.end(ttl_s))
        return count


class SwapsNonAtomically(Sound):
    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes, *, ttl_s: float | None = None
    ) -> bool:
        same = await self.get(key) == expected
        await self.context.clock.sleep(0)
        if same:
            self.values[key] = (value, self.end(ttl_s))
        return same


class SwapsAnyway(Sound):
    async def compare_and_set(
        self, key: str, expected: bytes | None, value: bytes, *, ttl_s: float | None = None
    ) -> bool:
        self.values[key] = (value, self.end(ttl_s))
        return True


class RefusedTakes(Sound):
    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        taken = await super().take(key, rate, burst, amount)
        if not taken:
            self.buckets[key] = (0.0, self.now)
        return taken


class TellsTooShort(Sound):
    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        taken = await super().take(key, rate, burst, amount)
        return taken._replace(wait_s=0.99 * taken.wait_s)


class OneBucket(Sound):
    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        return await super().take("all", rate, burst, amount)


class GivesTooMuch(Sound):
    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        return await super().take(key, rate, burst + 1, amount)


class TellsWaitsAlone(Sound):
    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Any:
        return (await super().take(key, rate, burst, amount)).wait_s


class RemainingIsBefore(Sound):
    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        taken = await super().take(key, rate, burst, amount)
        return taken._replace(remaining=taken.remaining + taken.granted)


class NeverResets(Sound):
    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        return (await super().take(key, rate, burst, amount))._replace(reset_s=0.0)


class GrantsAllOrNothing(Sound):
    async def grant(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        return await self.take(key, rate, burst, min(amount, burst))


class GrantsAnew(Sound):
    async def grant(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        return await super().grant(f"grants of {key}", rate, burst, amount)


class FixedWindow(Sound):
    async def take_window(self, key: str, limit: int, window_s: float, amount: int = 1) -> Taken:
        window = f"{key} {self.now // window_s}"
        return await super().take_window(window, limit, window_s, amount)


class ForgetsWindows(Sound):
    async def take_window(self, key: str, limit: int, window_s: float, amount: int = 1) -> Taken:
        self.windows[key] = self.windows.get(key, [])[-64:]
        return await super().take_window(key, limit, window_s, amount)


class TakesAnyWindow(Sound):
    async def take_window(self, key: str, limit: int, window_s: float, amount: int = 1) -> Taken:
        return await super().take_window(key, limit, window_s or 1.0, amount)


class Remembers(Sound):
    async def publish(self, channel: str, message: bytes) -> None:
        self.queues.setdefault(channel, [[]])
        await super().publish(channel, message)

    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        subscription = super().subscribe(channel)
        self.queues[channel][-1].extend(self.queues[channel][0])
        return subscription


class OneChannel(Sound):
    async def publish(self, channel: str, message: bytes) -> None:
        for name in self.queues:
            await super().publish(name, message)


class DropsEmpty(Sound):
    async def publish(self, channel: str, message: bytes) -> None:
        if message:
            await super().publish(channel, message)


class TwoHolders(Sound):
    async def acquire(self, key: str, holder: str, *, ttl_s: float) -> bool:
        self.leases[key] = (holder, self.end(ttl_s))
        return True


class NeverRenews(Sound):
    async def acquire(self, key: str, holder: str, *, ttl_s: float) -> bool:
        end = self.end(ttl_s)
        if self.leases.get(key, ("", 0.0))[1] > self.now:
            return False
        self.leases[key] = (holder, end)
        return True


class ReleasedByAnybody(Sound):
    async def release(self, key: str, holder: str) -> bool:
        return self.leases.pop(key, ("", 0.0))[1] > self.now


class OneSpace(Sound):
    async def acquire(self, key: str, holder: str, *, ttl_s: float) -> bool:
        self.values[key] = (holder.encode(), self.end(ttl_s))
        return await super().acquire(key, holder, ttl_s=ttl_s)


class TakesAnyTime(Sound):
    def end(self, ttl_s: float | None) -> float:
        return float("inf") if ttl_s is None else self.now + ttl_s


class TakesAnyAmount(Sound):
    async def take(self, key: str, rate: Rate, burst: int, amount: int = 1) -> Taken:
        return Taken(0, 0.0, 0, 0.0) if amount == 0 else await super().take(key, rate, burst, amount)


class CountsWords(Sound):
    async def increment(self, key: str, amount: int = 1, *, ttl_s: float | None = None) -> int:
        before = await self.get(key)
        if before is not None and not before.isdigit():
            return 0
        return await super().increment(key, amount, ttl_s=ttl_s)


class Slow(Sound):
    """Takes longer than the times that it is tried with at first."""

    async def increment(self, key: str, amount: int = 1, *, ttl_s: float | None = None) -> int:
        self.let_pass()
        return await super().increment(key, amount, ttl_s=ttl_s)

    async def take_window(self, key: str, limit: int, window_s: float, amount: int = 1) -> Taken:
        self.let_pass()
        return await super().take_window(key, limit, window_s, amount)

    def let_pass(self) -> None:
        assert isinstance(self.context.clock, ManualClock)
        self.context.clock._now += 0.4


class SlowAndProlongs(Slow, Prolongs):
    pass


class SlowFixedWindow(Slow, FixedWindow):
    pass


class Broken(Sound):
    async def get(self, key: str) -> bytes | None:
        raise ConnectionError("no server")


async def check(store: type[Sound]) -> None:
    clock = ManualClock()
    await check_store(build(store, clock=clock), wait=clock.advance)


@pytest.mark.parametrize("sound", [Sound, Slow])
async def test_a_sound_store_passes_however_slow_it_is(sound: type[Sound]) -> None:
    await check(sound)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (EmptyIsNothing, "get after set: expected b''; got None"),
        (Strings, "get after set: expected b''; got ''"),
        (KeepsForEver, "get after the time to live: expected None; got b'1'"),
        (KeepsTheOldTime, "get of a value that was set again without a time to live: expected b'3'; got None"),
        (DeleteSaysNothing, "delete of a value: expected True; got None"),
        (Prolongs, "increment after the time to live, which is set when the counter is made: expected 1; got 3"),
        (LosesCounts, "50 increments at once: expected each number from 1 to 50 once; got [1, 1, 1"),
        (SwapsNonAtomically, "20 times compare_and_set at once: expected one of them to win; got 20 winners"),
        (SwapsAnyway, "compare_and_set of no value with a wrong guess: expected False; got True"),
        (
            RefusedTakes,
            "take of the 1 token, as a refused take takes nothing: expected a Taken with 1 granted; got Taken(",
        ),
        (
            TellsTooShort,
            "take after the wait that it told: expected a Taken with 1 granted; got Taken(granted=0, wait_s=0.00",
        ),
        (OneBucket, "take from another bucket: expected a Taken with 4 granted; got Taken(granted=0, "),
        (
            GivesTooMuch,
            "20 times take of a burst of 5: expected 1 granted for 5 of them; got granted [1, 1, 1, 1, 1, 1",
        ),
        (TellsWaitsAlone, "take: expected a Taken; got 0.0"),
        (RemainingIsBefore, "remaining of take: expected what is left after each of the 5; got [1, 2, 3, 4, 5]"),
        (NeverResets, "reset_s of take: expected the seconds until it is full; got 0.0"),
        (GrantsAllOrNothing, "grant of 100 where 2 are left: expected a Taken with 2 granted; got Taken(granted=0, "),
        (GrantsAnew, "take from a bucket that grants have emptied: expected a Taken with 0 granted; got Taken("),
        (FixedWindow, "take_window before the first is over: expected a short wait; got Taken(granted=1, "),
        (ForgetsWindows, "130 times take_window of 100: expected 100 granted; got 130 granted"),
        (TakesAnyWindow, "take_window with window_s=0: expected a ValueError, as a window is longer than 0; it raised"),
        (Remembers, "subscribe: expected nothing that was published before; got b'before anybody listens'"),
        (OneChannel, "subscribe to another channel: expected its own messages alone; got b'begin'"),
        (DropsEmpty, "subscribe: expected what is published from then on; it raised "),
        (TwoHolders, "20 times acquire at once: expected one holder; got 20 holders"),
        (NeverRenews, "acquire by the holder, which renews: expected True; got False"),
        (ReleasedByAnybody, "release by another: expected False; got True"),
        (OneSpace, "get of a value with the key of a lease and a bucket: expected b'1'; got b'me'"),
        (TakesAnyTime, "set with ttl_s=0: expected a ValueError, as a time to live is above 0; it raised none"),
        (TakesAnyAmount, "take of 0 from a burst of 3: expected a ValueError, as 1 to the burst can be taken"),
        (CountsWords, "increment of b'shop': expected a ValueError, as it is no counter; it raised none"),
        (SlowAndProlongs, "which is set when the counter is made: expected 1; got 3"),
        (SlowFixedWindow, "take_window before the first is over: expected a short wait; got Taken(granted=1, "),
        (Broken, "store, values: expected every operation to be done; it raised ConnectionError('no server')"),
    ],
)
async def test_a_broken_store_is_told_what_to_mend(broken: type[Sound], message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        await check(broken)
