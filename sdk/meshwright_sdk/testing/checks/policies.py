"""`check_policy`: what every policy about endpoints has to hold to, whatever it makes of them."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import weakref
from collections.abc import Callable
from typing import Any

from meshwright_sdk.balancing import Endpoint
from meshwright_sdk.errors import ConnectError, DeadlineError, OverloadError, ResetError, UpstreamTimeoutError
from meshwright_sdk.policy import AnyPolicy
from meshwright_sdk.response import Response
from meshwright_sdk.testing.checks.claims import PATIENCE_S, Wait, calling, claim
from meshwright_sdk.testing.messages import make_endpoint
from meshwright_sdk.testing.service import FakeService, Outcome

_OTHER = "meshwright.check"
_LONGEST_REASON = 300
_STEPS = 13
_TURNS = 100
_METHODS = ("added", "removed", "began", "ended")
_OUTCOMES: tuple[Callable[[], Outcome], ...] = (
    lambda: 200,
    lambda: 404,
    lambda: 429,
    lambda: 503,
    lambda: Response(200, {"content-type": "text/plain"}, b"hello"),
    lambda: Response(200, {"endpoint-load-metrics": "JSON {", "retry-after": "soon"}),
    lambda: ConnectError("nobody listens"),
    lambda: ResetError("broke off"),
    lambda: UpstreamTimeoutError("too late"),
    lambda: DeadlineError("too late for the client"),
    lambda: OverloadError("too many wait"),
    asyncio.CancelledError,
    lambda: RuntimeError("a mistake of a filter's"),
)


async def check_policy(policy: AnyPolicy, *, wait: Wait, step_s: float = 1.0) -> None:
    """Run `policy` through its contract; raises AssertionError that says what to mend.

    `wait` lets time go by: `clock.advance` of the ManualClock the policy was built with, or `asyncio.sleep`. It is
    called some fifty times for `step_s`; choose it so that a few of them are enough for what the policy does by and
    by. The policy is attached to a service with endpoints of every kind, started and closed. What it thinks of them
    is its own: no ejections and no weights are checked.
    """
    _never_waits(policy)
    service = FakeService(clock=policy.context.clock, panic_threshold=0.0)
    try:
        await _starts(policy, service)
        await _judges(_Trial(policy, service), wait, step_s)
    finally:
        await _closes(policy)
    await _has_ended(policy, service, wait, step_s)


def _never_waits(policy: AnyPolicy) -> None:
    for method in _METHODS:
        claim(
            method,
            not inspect.iscoroutinefunction(getattr(policy, method)),
            "a plain function, as the request path calls it and never waits (spawn what takes time on context.tasks)",
            "an `async def`",
        )


async def _starts(policy: AnyPolicy, service: FakeService) -> None:
    with calling("attach", "it to take the service over"):
        policy.attach(service)
    claim("attach", getattr(policy, "service", None) is service, "`self.service` to be the service", "something else")
    with calling("start()", "it to return before there is any endpoint"):
        async with asyncio.timeout(PATIENCE_S):
            await policy.start()


class _Trial:
    """A policy at work on a service; after each step both are claimed to be as they have to be."""

    def __init__(self, policy: AnyPolicy, service: FakeService) -> None:
        self.policy = policy
        self.service = service
        self.others: set[Endpoint] = set()

    def tell(self, method: str, what: Any) -> None:
        with calling(method, "it to take note and raise nothing"):
            getattr(self.policy, method)(what)
        self.look(method)

    def add(self, *endpoints: Endpoint) -> None:
        self.service.add(*endpoints)
        for endpoint in endpoints:
            self.tell("added", endpoint)

    def remove(self, *endpoints: Endpoint) -> None:
        self.others.difference_update(endpoints)
        self.service.remove(*endpoints)
        for endpoint in endpoints:
            self.tell("removed", endpoint)

    def attempt(self, endpoint: Endpoint, outcome: Outcome, *, seconds: float = 0.01) -> None:
        attempt = self.service.begin(endpoint)
        self.tell("began", attempt)
        self.service.end(attempt, outcome, seconds=seconds)
        response = attempt.response
        self.tell("ended", attempt)
        claim("ended", attempt.response is response, "the attempt's response to be left as it is", "another one")
        claim(
            "ended",
            response is None or not response.closed,
            "the attempt's response to be left open, as it is still to be sent",
            "a closed one",
        )

    def take_out(self, endpoint: Endpoint) -> None:
        self.others.add(endpoint)
        with calling("a callback of group.watch", "it to take note and raise nothing"):
            self.service.group.eject(endpoint, _OTHER, "a check took it out")
        self.look("when another has ejected an endpoint")

    def bring_back(self, endpoint: Endpoint) -> None:
        self.others.discard(endpoint)
        with calling("a callback of group.watch", "it to take note and raise nothing"):
            self.service.group.restore(endpoint, _OTHER)
        self.look("when another has restored an endpoint")

    def look(self, where: str) -> None:
        """Claim that what it did was done by the group, in its own name, with a reason for people."""
        group, name = self.service.group, self.policy.name
        for endpoint in group.all:
            _check_ejections(where, endpoint, name)
            others = set(endpoint.factors) - {name}
            claim(where, not others, f"factors by its own name, {name!r}", f"one by {others}")
            claim(
                where,
                (_OTHER in endpoint.ejections) is (endpoint in self.others),
                "what others have against an endpoint to be left to them",
                f"the ejections {dict(endpoint.ejections)}",
            )
        before = ([each.weight for each in group.all], group.usable)
        group.replace(group.all)
        claim(
            where,
            before == ([each.weight for each in group.all], group.usable),
            "weights and ejections to be changed by the group alone (eject, restore, scale)",
            "some that the group does not know of",
        )
        try:
            json.dumps(self.policy.state())
        except (TypeError, ValueError) as error:
            raise AssertionError(f"state(): expected what JSON can say; got {error}") from error


def _check_ejections(where: str, endpoint: Endpoint, name: str) -> None:
    for by, reason in endpoint.ejections.items():
        claim(where, by in (name, _OTHER), f"ejections by its own name, {name!r}", f"one by {by!r}")
        claim(
            where,
            0 < len(reason) <= _LONGEST_REASON and reason.isprintable(),
            f"a reason for people, one line of 1 to {_LONGEST_REASON} characters",
            repr(reason),
        )


async def _judges(trial: _Trial, wait: Wait, step_s: float) -> None:
    trial.add(*(make_endpoint(f"http://10.0.0.{n}:8000", weight=n % 3) for n in range(1, 7)))
    await _pass(trial, wait, step_s)
    await _lives_with_others(trial, wait, step_s)
    await _forgets(trial, 3, wait, step_s)
    await _forgets(trial, 3, wait, step_s)
    trial.add(make_endpoint("http://10.0.0.1:8000"))
    await _pass(trial, wait, step_s)


async def _pass(trial: _Trial, wait: Wait, step_s: float) -> None:
    """Let each endpoint answer attempts and probes in another way, and time go by."""
    service = trial.service
    for endpoint, answer in zip(service.endpoints, (200, 503, ConnectError("no"), None), strict=False):
        service.answer(endpoint, answer)
    for step in range(_STEPS):
        for number, endpoint in enumerate(service.endpoints):
            trial.attempt(endpoint, _OUTCOMES[(step + number) % len(_OUTCOMES)](), seconds=0.01 * number)
        await _go_on(trial, wait, step_s)


async def _go_on(trial: _Trial, wait: Wait, step_s: float) -> None:
    with calling("as time goes by", "no more than ejections and weights"):
        await wait(step_s)
    trial.look("as time goes by")


async def _lives_with_others(trial: _Trial, wait: Wait, step_s: float) -> None:
    first = trial.service.endpoints[0]
    trial.take_out(first)
    await _pass(trial, wait, step_s)
    trial.bring_back(first)
    await _pass(trial, wait, step_s)


async def _forgets(trial: _Trial, count: int, wait: Wait, step_s: float) -> None:
    """Claim that of endpoints that have gone, in the middle of attempts and probes, nothing is kept."""
    gone = _remove(trial, count)
    for _ in range(2):
        await _go_on(trial, wait, step_s)
    probes, responses = trial.service.probes, trial.service.given
    claim(
        "removed",
        all(endpoint in trial.service.endpoints for endpoint, _ in probes),
        "no further probe of an endpoint that has gone",
        "one",
    )
    await _claim_closed(trial.service)
    probes.clear()
    responses.clear()
    gc.collect()
    claim(
        "removed",
        not any(each() is not None for each in gone),
        "no reference to an endpoint that has gone (forget it in `removed`, cancel its probe, and let `ended` of a "
        "late attempt make no new entry)",
        "one that is kept",
    )


def _remove(trial: _Trial, count: int) -> list[weakref.ref[Endpoint]]:
    """Remove the first endpoints while there is an attempt at each; return nothing that would keep them."""
    service = trial.service
    gone = service.endpoints[:count]
    attempts = [service.begin(endpoint) for endpoint in gone]
    for attempt in attempts:
        trial.tell("began", attempt)
    trial.remove(*gone)
    service.probes.clear()
    for attempt in attempts:
        service.end(attempt, 503)
        trial.tell("ended", attempt)
    return [weakref.ref(endpoint) for endpoint in gone]


async def _claim_closed(service: FakeService) -> None:
    """Claim that what probes were given is closed, a few turns of the loop later at most: one may have just ended."""
    for _ in range(_TURNS):
        if all(response.closed for response in service.given):
            break
        await asyncio.sleep(0)
    claim(
        "service.probe",
        all(response.closed for response in service.given),
        "every response to a probe to be closed (`await response.aclose()`)",
        "one left open, whose connection is never given back",
    )


async def _closes(policy: AnyPolicy) -> None:
    with calling("close()", "it to return"):
        async with asyncio.timeout(PATIENCE_S):
            await policy.close()
            await policy.context.tasks.close()


async def _has_ended(policy: AnyPolicy, service: FakeService, wait: Wait, step_s: float) -> None:
    claim("close()", service.probing == 0, "every probe to be over", f"{service.probing} under way")
    await _claim_closed(service)
    before = (len(service.probes), service.group.usable)
    await wait(step_s)
    claim(
        "after close()",
        before == (len(service.probes), service.group.usable),
        "no probe and no judgement any longer",
        "some",
    )
