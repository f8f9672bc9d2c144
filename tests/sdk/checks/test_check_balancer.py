from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from meshwright_sdk import Attempt, Balancer, Endpoint, NoOptions, Request
from meshwright_sdk.testing import build, check_balancer, make_endpoint


class Sound(Balancer[NoOptions]):
    """The first with weight, or the first of all."""

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        return next((each for each in endpoints if each.weight), endpoints[0] if endpoints else None)


class NotReadyForNothing(Sound):
    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        return endpoints[0]


class InventsOne(Sound):
    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        return make_endpoint() if endpoints else None


class GivesSomethingForNothing(Sound):
    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        return super().pick(endpoints, request) or make_endpoint()


class PicksNone(Sound):
    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        return None


class Asynchronous(Sound):
    async def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Any:  # type: ignore[override]
        return endpoints[0] if endpoints else None


class AsynchronousForSome(Sound):
    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Any:
        return self._later() if endpoints else None

    async def _later(self) -> None:
        pass


class Sorts(Sound):
    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        if isinstance(endpoints, list):
            endpoints.reverse()
        return super().pick(endpoints, request)


class Counts(Sound):
    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        pick = super().pick(endpoints, request)
        if pick is not None:
            pick.requests += 1
        return pick


class IgnoresWeights(Sound):
    turn = 0

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        self.turn += 1
        return endpoints[self.turn % len(endpoints)] if endpoints else None


class RemembersTheFirst(Sound):
    first: Endpoint | None = None

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        self.first = self.first or super().pick(endpoints, request)
        return self.first if endpoints else None


class RemembersTheWeights(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.known: dict[Endpoint, int] = {}

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        for endpoint in endpoints:
            self.known.setdefault(endpoint, endpoint.weight)
        return next((each for each in endpoints if self.known[each]), endpoints[0] if endpoints else None)


class DividesByWeight(Sound):
    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        return min(endpoints, key=lambda each: each.in_flight / each.weight, default=None)


class KnowsOnlyWhatItWasTold(Sound):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.running: dict[Endpoint, int] = {}

    def added(self, endpoint: Endpoint) -> None:
        self.running[endpoint] = 0

    def removed(self, endpoint: Endpoint) -> None:
        del self.running[endpoint]

    def began(self, attempt: Attempt) -> None:
        self.running[attempt.endpoint] += 1

    def ended(self, attempt: Attempt) -> None:
        self.running[attempt.endpoint] -= 1


class ReadsTheAnswerThatMayBeMissing(Sound):
    def ended(self, attempt: Attempt) -> None:
        attempt.response.status  # type: ignore[union-attr] # noqa: B018 - it is what goes wrong here


class KnowsOnlyTheListItWasWarmedUpFor(Sound):
    warm: Sequence[Endpoint] = ()

    async def warm_up(self, endpoints: Sequence[Endpoint]) -> None:
        self.warm = endpoints

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        return super().pick(self.warm or endpoints, request)


class WarmsUpForSeveralOnly(Sound):
    async def warm_up(self, endpoints: Sequence[Endpoint]) -> None:
        _, _ = endpoints[:2]


class ComputesForOneList(Sound):
    computed: Sequence[Endpoint] = ()
    computing = False

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        if endpoints and not self.computing:
            self.computing = True
            self.context.tasks.spawn(self._compute(endpoints), name="computation")
        return super().pick(endpoints and (self.computed or endpoints), request)

    async def _compute(self, endpoints: Sequence[Endpoint]) -> None:
        self.computed, self.computing = endpoints, False


class TakesOneToAvoidForGone(Sound):
    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        return super().pick([each for each in endpoints if each not in request.avoid], request)


async def test_a_sound_balancer_passes() -> None:
    await check_balancer(build(Sound))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            NotReadyForNothing,
            "pick([]): expected None; it raised IndexError",
        ),
        (GivesSomethingForNothing, "pick([]): expected None, as a service may have no endpoint for a while; got <End"),
        (InventsOne, "expected one of the objects in the sequence it was given, and no other; got "),
        (PicksNone, "expected one of them, as all of them are idle and there is a weight; got None"),
        (Asynchronous, "pick([]): expected None at once (pick is no `async def`: it never waits); got a coroutine"),
        (AsynchronousForSome, "one of them at once (pick is no `async def`: it never waits); got a coroutine"),
        (Sorts, "the sequence to be left as it is"),
        (Counts, "in_flight, requests and weight to be left as they are"),
        (IgnoresWeights, "nothing for an endpoint of weight 0 while another has more"),
        (RemembersTheFirst, "one of the objects in the sequence it was given"),
        (RemembersTheWeights, "the weights of now with a new sequence"),
        (DividesByWeight, "it raised ZeroDivisionError"),
        (KnowsOnlyWhatItWasTold, "ended: expected it to return; it raised KeyError"),
        (ReadsTheAnswerThatMayBeMissing, "ended: expected it to return; it raised AttributeError"),
        (KnowsOnlyTheListItWasWarmedUpFor, "expected one of the objects in the sequence it was given"),
        (WarmsUpForSeveralOnly, "warm_up: expected it to return; it raised ValueError"),
        (ComputesForOneList, "expected one of the objects in the sequence it was given, and no other; got "),
        (TakesOneToAvoidForGone, "expected one of them, as all of them are idle and there is a weight; got None"),
    ],
)
async def test_a_broken_balancer_is_told_what_to_mend(broken: type[Sound], message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        await check_balancer(build(broken))
