from __future__ import annotations

import re

import pytest

from meshwright.traffic.observers import Observers, tell_changes
from meshwright_sdk import Attempt, ConnectError, Endpoint, EndpointPolicy, NoOptions, Response
from meshwright_sdk.testing import ManualClock, build, make_endpoint, make_request


class Indifferent(EndpointPolicy[NoOptions]):
    """Wants to hear of nothing."""


class Diary(EndpointPolicy[NoOptions]):
    """Writes down what it hears."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.told: list[object] = []

    def added(self, endpoint: Endpoint) -> None:
        self.told.append(("added", endpoint))

    def removed(self, endpoint: Endpoint) -> None:
        self.told.append(("removed", endpoint))

    def ended(self, attempt: Attempt) -> None:
        self.told.append(attempt)


class Broken(EndpointPolicy[NoOptions]):
    """Fails whatever it hears."""

    def added(self, endpoint: Endpoint) -> None:
        raise KeyError(endpoint)

    def began(self, attempt: Attempt) -> None:
        raise SystemExit(3)

    def ended(self, attempt: Attempt) -> None:
        raise KeyError(attempt)


class Counting(EndpointPolicy[NoOptions]):
    """Hears of endpoints only."""

    def added(self, endpoint: Endpoint) -> None:
        """Do nothing."""


def test_no_attempt_is_made_where_nobody_wants_to_hear_of_any() -> None:
    clock = ManualClock()
    assert not Observers((), clock).of_attempts
    assert not Observers([build(Indifferent), build(Counting)], clock).of_attempts
    assert Observers([build(Indifferent), build(Diary)], clock).of_attempts


async def test_an_attempt_is_told_with_its_time_and_what_became_of_it() -> None:
    clock, diary, endpoint, request = ManualClock(), build(Diary), make_endpoint(), make_request()
    observers = Observers([diary], clock)

    first = observers.begin(endpoint, request)
    await clock.advance(0.25)
    answer = Response(204)
    observers.end(first, answer, None)
    second = observers.begin(endpoint, request)
    error = ConnectError("nobody listens")
    observers.end(second, None, error)

    assert diary.told == [first, second]
    assert (first.endpoint, first.request, first.began, first.seconds) == (endpoint, request, 1000.0, 0.25)
    assert (first.response, first.error) == (answer, None)
    assert (second.response, second.error, second.seconds) == (None, error, 0.0)


def test_endpoints_that_have_come_and_gone_are_told_and_no_others() -> None:
    diary = build(Diary)
    one, two, three = (make_endpoint(f"http://10.0.0.{n}:80") for n in range(3))
    observers = (diary, build(Indifferent))

    tell_changes(observers, (), (one, two))
    tell_changes(observers, (one, two), (two, one))
    tell_changes(observers, (two, one), (three, one))

    assert diary.told == [("added", one), ("added", two), ("removed", two), ("added", three)]


def test_what_one_raises_is_logged_and_the_others_hear_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    diary, endpoint = build(Diary), make_endpoint()
    told = (build(Broken), diary)
    observers = Observers(told, ManualClock())

    tell_changes(told, (), (endpoint,))
    attempt = observers.begin(endpoint, make_request())
    observers.end(attempt, Response(200), None)

    assert diary.told == [("added", endpoint), attempt]
    for record, (method, error) in zip(
        caplog.records, [("added", "KeyError"), ("began", "SystemExit: 3"), ("ended", "KeyError")], strict=True
    ):
        said = rf"Broken\.{method} raised {error}.* \(\S*test_observers\.py:\d+ in {method}\)"
        assert re.fullmatch(said, record.message)
        assert record.exc_info is None  # each request of a service would bring a traceback
