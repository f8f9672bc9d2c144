"""The fake service of policies' tests: endpoints, attempts and probes as the real one has them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from meshwright_sdk import Attempt, Balancer, ConnectError, Endpoint, EndpointPolicy, NoOptions, Request, Tasks
from meshwright_sdk.testing import FakeService, ManualClock, build, make_endpoint, make_request


class Diary(EndpointPolicy[NoOptions]):
    """Writes down what it is told, and does nothing."""

    def __init__(self, options: NoOptions, context: object) -> None:
        super().__init__(options, context)  # type: ignore[arg-type]
        self.told: list[object] = []

    async def start(self) -> None:
        self.told.append("start")

    async def close(self) -> None:
        self.told.append("close")

    def added(self, endpoint: Endpoint) -> None:
        self.told.append(("added", endpoint))

    def removed(self, endpoint: Endpoint) -> None:
        self.told.append(("removed", endpoint))

    def began(self, attempt: Attempt) -> None:
        self.told.append(("began", attempt.endpoint, attempt.endpoint.in_flight))

    def ended(self, attempt: Attempt) -> None:
        self.told.append(("ended", attempt.endpoint, attempt.answered, attempt.seconds))


class Warm(Balancer[NoOptions]):
    """Writes down what it is told before its first pick."""

    def __init__(self, options: NoOptions, context: object) -> None:
        super().__init__(options, context)  # type: ignore[arg-type]
        self.told: list[object] = []

    async def start(self) -> None:
        self.told.append("start")

    async def warm_up(self, endpoints: Sequence[Endpoint]) -> None:
        self.told.append(endpoints)

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        return None


async def test_a_balancer_is_warmed_up_for_the_endpoints_there_are() -> None:
    service, balancer, early = FakeService(2), build(Warm), build(Warm)
    async with service.running(balancer):
        assert balancer.told == ["start", service.group.usable]
    async with FakeService(0).running(early):
        assert early.told == ["start"]


async def test_a_policy_is_told_of_endpoints_and_attempts_in_their_order() -> None:
    clock = ManualClock()
    one, two = make_endpoint("http://10.0.0.1:8000"), make_endpoint("http://10.0.0.2:8000")
    service, diary = FakeService([one], clock=clock), build(Diary)

    async with service.running(diary):
        assert diary.service is service
        service.add(two)
        attempt = service.begin(one)
        await clock.advance(0.5)
        service.end(attempt, 503)
        service.play(two, 200, ConnectError("no"), seconds=2.0)
        service.remove(one)
        assert service.endpoints == (two,)

    assert diary.told == [
        "start",
        ("added", one),
        ("added", two),
        ("began", one, 1),
        ("ended", one, False, 0.5),
        ("began", two, 1),
        ("ended", two, True, 2.0),
        ("began", two, 1),
        ("ended", two, False, 2.0),
        ("removed", one),
        "close",
    ]
    assert (two.in_flight, two.requests) == (0, 2)


async def test_probes_are_answered_in_turn_and_the_last_answer_is_repeated() -> None:
    service = FakeService(2)
    first, second = service.endpoints
    request = make_request()
    service.answer(first, 503, ConnectError("nobody listens"))

    assert (await service.probe(first, request)).status == 503
    for _ in range(2):
        with pytest.raises(ConnectError):
            await service.probe_connection(first)
    assert (await service.probe(second, request)).status == 200
    assert service.probes == [(first, request), (first, None), (first, None), (second, request)]


async def test_a_probe_without_an_answer_lasts_until_it_is_cancelled() -> None:
    service, tasks = FakeService(1), Tasks()
    (endpoint,) = service.endpoints
    service.answer(endpoint, None)

    tasks.spawn(service.probe(endpoint, make_request()), name="probe")
    await asyncio.sleep(0)
    assert service.probing == 1
    await tasks.close()
    assert service.probing == 0


async def test_what_a_watcher_raises_comes_to_the_test() -> None:
    service = FakeService(1)
    service.group.watch(set[Endpoint]().remove)
    with pytest.raises(KeyError):
        service.group.eject(service.endpoints[0], "test", "a reason")
