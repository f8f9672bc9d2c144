from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import pytest

from meshwright_sdk import Attempt, Endpoint, EndpointPolicy, NoOptions, Response, WatchedService
from meshwright_sdk.testing import ManualClock, build, check_policy, make_request


class Sound(EndpointPolicy[NoOptions]):
    """Ejects after an attempt that failed, probes every second, and restores what answers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.failures: dict[Endpoint, int] = {}
        self.probes: dict[Endpoint, asyncio.Task[None]] = {}

    def added(self, endpoint: Endpoint) -> None:
        self.failures[endpoint] = 0
        self.probes[endpoint] = self.context.tasks.spawn(self.watch(endpoint), name="watch")

    def removed(self, endpoint: Endpoint) -> None:
        del self.failures[endpoint]
        self.probes.pop(endpoint).cancel()

    def ended(self, attempt: Attempt) -> None:
        endpoint = attempt.endpoint
        if attempt.failed and endpoint in self.failures:
            self.failures[endpoint] += 1
            self.service.group.eject(endpoint, self.name, "an attempt failed")
            self.service.group.scale(endpoint, self.name, 0.5)

    async def watch(self, endpoint: Endpoint) -> None:
        while True:
            await self.context.clock.sleep(1.0)
            try:
                response = await self.service.probe(endpoint, make_request())
            except Exception:
                continue
            try:
                await self.look_at(response)
            finally:
                await response.aclose()
            self.service.group.restore(endpoint, self.name)

    async def look_at(self, response: Response) -> None:
        pass

    def state(self) -> Mapping[str, Any] | None:
        return {endpoint.url: failures for endpoint, failures in self.failures.items()}


class Thorough(Sound):
    async def look_at(self, response: Response) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


class Asynchronous(Sound):
    async def began(self, attempt: Attempt) -> None:  # type: ignore[override]
        pass


class AttachesToNothing(Sound):
    def attach(self, service: WatchedService) -> None:
        pass


class WaitsForEndpoints(Sound):
    async def start(self) -> None:
        if not self.service.group.all:
            raise TimeoutError


class FailsToAdd(Sound):
    def added(self, endpoint: Endpoint) -> None:
        raise KeyError(endpoint.url)


class ExpectsAnAnswer(Sound):
    def ended(self, attempt: Attempt) -> None:
        attempt.response.status  # type: ignore[union-attr]  # noqa: B018 - the mistake


class ExpectsNoLateEnd(Sound):
    def ended(self, attempt: Attempt) -> None:
        self.failures[attempt.endpoint] += 1


class ReplacesTheResponse(Sound):
    def ended(self, attempt: Attempt) -> None:
        attempt.response = None


class ClosesTheResponse(Sound):
    def ended(self, attempt: Attempt) -> None:
        if attempt.response is not None:
            attempt.response.settle()


class HasAnotherName(Sound):
    def ended(self, attempt: Attempt) -> None:
        self.service.group.eject(attempt.endpoint, "somebody", "no reason")


class ScalesInAnotherName(Sound):
    def ended(self, attempt: Attempt) -> None:
        self.service.group.scale(attempt.endpoint, "somebody", 0.5)


class GivesNoReason(Sound):
    def ended(self, attempt: Attempt) -> None:
        self.service.group.eject(attempt.endpoint, self.name, "")


class GivesALongReason(Sound):
    def ended(self, attempt: Attempt) -> None:
        self.service.group.eject(attempt.endpoint, self.name, "line\nline")


class RestoresEverybody(Sound):
    def ended(self, attempt: Attempt) -> None:
        for by in attempt.endpoint.ejections:
            self.service.group.restore(attempt.endpoint, by)


class Weighs(Sound):
    def ended(self, attempt: Attempt) -> None:
        attempt.endpoint.weight = 7


class EjectsBehindTheGroup(Sound):
    def ended(self, attempt: Attempt) -> None:
        attempt.endpoint.ejections = {**attempt.endpoint.ejections, self.name: "no reason"}


class FailsToWatch(Sound):
    async def start(self) -> None:
        self.service.group.watch(self.look)

    def look(self, endpoint: Endpoint) -> None:
        if "meshwright.check" in endpoint.ejections:
            raise LookupError


class KeepsWhatHasGone(Sound):
    def removed(self, endpoint: Endpoint) -> None:
        self.probes.pop(endpoint).cancel()


class CountsWhatHasGone(Sound):
    def ended(self, attempt: Attempt) -> None:
        self.failures[attempt.endpoint] = 1


class ProbesWhatHasGone(Sound):
    def removed(self, endpoint: Endpoint) -> None:
        del self.failures[endpoint]


class LeavesAnswersOpen(Sound):
    async def watch(self, endpoint: Endpoint) -> None:
        await self.service.probe(endpoint, make_request())


class LeavesTheLastAnswersOpen(Sound):
    async def close(self) -> None:
        await self.service.probe(self.service.group.all[0], make_request())


class SaysWhatJsonCannot(Sound):
    def state(self) -> Mapping[str, Any] | None:
        return {"endpoints": self.failures.keys()}


class DoesNotEnd(Sound):
    async def close(self) -> None:
        self.kept = asyncio.get_running_loop().create_task(self.watch(self.service.group.all[0]))


@pytest.mark.parametrize("sound", [Sound, Thorough])
async def test_a_sound_policy_passes(sound: type[Sound]) -> None:
    clock = ManualClock()
    await check_policy(build(sound, clock=clock), wait=clock.advance)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Asynchronous, "began: expected a plain function, as the request path calls it and never waits"),
        (AttachesToNothing, "attach: expected `self.service` to be the service"),
        (WaitsForEndpoints, "start(): expected it to return before there is any endpoint; it took more than"),
        (FailsToAdd, "added: expected it to take note and raise nothing; it raised KeyError"),
        (ExpectsAnAnswer, "ended: expected it to take note and raise nothing; it raised AttributeError"),
        (ExpectsNoLateEnd, "ended: expected it to take note and raise nothing; it raised KeyError"),
        (ReplacesTheResponse, "ended: expected the attempt's response to be left as it is; got another one"),
        (ClosesTheResponse, "ended: expected the attempt's response to be left open"),
        (HasAnotherName, "ended: expected ejections by its own name, 'has_another_name'; got one by 'somebody'"),
        (ScalesInAnotherName, "ended: expected factors by its own name, 'scales_in_another_name'; got one by"),
        (GivesNoReason, "ended: expected a reason for people, one line of 1 to 300 characters; got ''"),
        (GivesALongReason, "ended: expected a reason for people, one line of 1 to 300 characters; got 'line\\nline'"),
        (RestoresEverybody, "ended: expected what others have against an endpoint to be left to them"),
        (Weighs, "ended: expected weights and ejections to be changed by the group alone"),
        (EjectsBehindTheGroup, "ended: expected weights and ejections to be changed by the group alone"),
        (FailsToWatch, "a callback of group.watch: expected it to take note and raise nothing; it raised LookupError"),
        (KeepsWhatHasGone, "removed: expected no reference to an endpoint that has gone"),
        (CountsWhatHasGone, "removed: expected no reference to an endpoint that has gone"),
        (ProbesWhatHasGone, "removed: expected no further probe of an endpoint that has gone; got one"),
        (LeavesAnswersOpen, "service.probe: expected every response to a probe to be closed"),
        (LeavesTheLastAnswersOpen, "service.probe: expected every response to a probe to be closed"),
        (SaysWhatJsonCannot, "state(): expected what JSON can say; got"),
        (DoesNotEnd, "after close(): expected no probe and no judgement any longer; got some"),
    ],
)
async def test_a_broken_policy_is_told_what_to_mend(broken: type[Sound], message: str) -> None:
    clock = ManualClock()
    policy = build(broken, clock=clock)
    with pytest.raises(AssertionError, match=re.escape(message)):
        await check_policy(policy, wait=clock.advance)
    for task in [*policy.probes.values(), *filter(None, [getattr(policy, "kept", None)])]:
        task.cancel()
