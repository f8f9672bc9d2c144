from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from meshwright_sdk import Breaker, BreakerRules

RULES = BreakerRules(consecutive=3, open_s=10.0, trials=2, successes=2)


def good(breaker: Breaker, now: float, times: int = 1) -> None:
    for _ in range(times):
        breaker.succeeded(breaker.take(now), now)


def bad(breaker: Breaker, now: float, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(breaker.take(now), now)


def opened(rules: BreakerRules = RULES, now: float = 0.0) -> Breaker:
    breaker = Breaker(rules, now)
    bad(breaker, now, rules.consecutive or 0)
    assert breaker.state == "open"
    return breaker


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(RULES, 0.0)
    bad(breaker, 0.0, 2)
    good(breaker, 0.0)
    bad(breaker, 0.0, 2)

    before = breaker.state
    bad(breaker, 0.0)

    assert (before, breaker.state, breaker.reason) == ("closed", "open", "failures in a row: 3")


def test_a_share_of_failures_opens_it_once_there_are_enough_calls() -> None:
    breaker = Breaker(BreakerRules(failure_rate=0.3, minimum=10), 0.0)
    bad(breaker, 0.0, 2)
    good(breaker, 0.0, 6)
    bad(breaker, 0.0)
    before = breaker.state  # 3 of 9

    bad(breaker, 0.0)

    assert (before, breaker.state, breaker.reason) == ("closed", "open", "4 of 10 calls failed")


def test_the_share_itself_is_enough() -> None:
    breaker = Breaker(BreakerRules(failure_rate=0.1, minimum=10), 0.0)
    good(breaker, 0.0, 27)
    bad(breaker, 0.0, 2)
    assert breaker.state == "closed"

    bad(breaker, 0.0)

    assert (breaker.state, breaker.reason) == ("open", "3 of 30 calls failed")


def test_failures_older_than_the_window_do_not_count() -> None:
    breaker = Breaker(BreakerRules(failure_rate=0.5, minimum=4, window_s=10.0), 0.0)
    bad(breaker, 0.0, 3)

    bad(breaker, 11.0, 3)

    assert breaker.state == "closed"


def test_a_share_of_slow_calls_opens_it() -> None:
    breaker = Breaker(BreakerRules(consecutive=2, slow_rate=0.5, minimum=4), 0.0)
    good(breaker, 0.0, 2)
    for _ in range(2):
        breaker.slow(breaker.take(0.0), 0.0)

    assert (breaker.state, breaker.reason) == ("open", "2 of 4 calls were slow")


def test_a_slow_answer_is_no_failure() -> None:
    breaker = Breaker(BreakerRules(consecutive=2), 0.0)
    bad(breaker, 0.0)
    breaker.slow(breaker.take(0.0), 0.0)
    bad(breaker, 0.0)

    assert breaker.state == "closed"


def test_a_failure_may_be_slow_as_well() -> None:
    breaker = Breaker(BreakerRules(slow_rate=0.5, minimum=2), 0.0)
    for _ in range(2):
        breaker.failed(breaker.take(0.0), 0.0, slow=True)

    assert breaker.reason == "2 of 2 calls were slow"


def test_a_good_call_never_opens_it() -> None:
    breaker = Breaker(BreakerRules(failure_rate=0.5, minimum=10), 0.0)
    bad(breaker, 0.0, 9)
    good(breaker, 0.0)

    assert breaker.state == "closed"  # although 9 of 10 failed


def test_open_it_lets_nothing_through() -> None:
    breaker = opened()

    assert [breaker.take(now) for now in (0.0, 5.0, 9.999)] == [0, 0, 0]
    assert (breaker.refused, breaker.wait_s(4.0)) == (3, 6.0)


def test_half_open_it_lets_so_many_through_at_a_time() -> None:
    breaker = opened()
    first, second, third = (breaker.take(10.0) for _ in range(3))
    breaker.unjudged(first)
    fourth, fifth = breaker.take(10.0), breaker.take(10.0)

    assert breaker.state == "half_open"
    assert [bool(permit) for permit in (first, second, third, fourth, fifth)] == [True, True, False, True, False]


def test_so_many_successes_close_it() -> None:
    breaker = opened()
    good(breaker, 10.0)
    between = breaker.state
    good(breaker, 10.0)

    assert (between, breaker.state, breaker.window.calls) == ("half_open", "closed", 0)


def test_one_failed_trial_opens_it_again() -> None:
    breaker = opened()
    good(breaker, 10.0)
    bad(breaker, 11.0)

    assert (breaker.state, breaker.wait_s(11.0), breaker.reason) == ("open", 10.0, "a trial failed")


def test_a_slow_trial_opens_it_again() -> None:
    breaker = opened()
    breaker.slow(breaker.take(10.0), 10.0)

    assert (breaker.state, breaker.reason) == ("open", "a trial was slow")


def test_each_opening_without_a_closing_may_last_longer_up_to_a_limit() -> None:
    breaker = opened(BreakerRules(consecutive=3, open_s=10.0, growth=2.0, longest_open_s=35.0, successes=1))
    waits, now = [], 0.0
    for _ in range(3):
        now = breaker.until
        bad(breaker, now)
        waits.append(breaker.wait_s(now))
    now = breaker.until
    good(breaker, now)
    bad(breaker, now, 3)

    assert (waits, breaker.wait_s(now)) == ([20.0, 35.0, 35.0], 10.0)


def test_a_call_of_a_state_that_is_over_does_not_count() -> None:
    breaker = Breaker(RULES, 0.0)
    old = [breaker.take(0.0) for _ in range(5)]
    bad(breaker, 0.0, 3)
    trial = breaker.take(10.0)
    breaker.succeeded(old[0], 10.0)
    breaker.failed(old[1], 10.0)
    breaker.slow(old[2], 10.0)
    breaker.unjudged(old[3])

    assert (breaker.state, breaker.running, breaker.passed) == ("half_open", 1, 0)
    good(breaker, 10.0)
    breaker.succeeded(trial, 10.0)
    breaker.failed(old[4], 10.0)
    assert (breaker.state, breaker.consecutive) == ("closed", 0)


def test_forced_open_it_stays_open() -> None:
    breaker = Breaker(RULES, 0.0)
    breaker.force("open", 0.0)

    assert [breaker.take(now) for now in (0.0, 1e9)] == [0, 0]
    assert breaker.wait_s(0.0) == RULES.open_s


def test_forced_closed_it_stays_closed() -> None:
    breaker = opened()
    breaker.force("closed", 1.0)
    bad(breaker, 1.0, 100)

    assert (breaker.state, breaker.forced) == ("closed", True)


@pytest.mark.parametrize("state", ["open", "closed"])
def test_given_free_it_is_closed_and_goes_by_its_rules(state: str) -> None:
    breaker = Breaker(RULES, 0.0)
    breaker.force(state, 0.0)
    for _ in range(2):
        breaker.failed(breaker.take(0.0), 0.0)

    breaker.force(None, 1.0)
    bad(breaker, 1.0, 2)
    between = (breaker.state, breaker.forced)
    bad(breaker, 1.0)

    assert (between, breaker.state) == (("closed", False), "open")
    assert breaker.look(11.0) == "half_open"


def test_forcing_it_again_changes_nothing() -> None:
    forced, free = Breaker(RULES, 0.0), opened()
    first = forced.force("open", 0.0)

    again, needless = forced.force("open", 5.0), free.force(None, 5.0)

    assert (first, again, needless) == (True, False, False)
    assert (forced.since, free.state, free.until) == (0.0, "open", 10.0)


def test_one_that_is_open_can_be_forced_open() -> None:
    breaker = opened()
    breaker.force("open", 1.0)

    assert breaker.take(1e9) == 0


def test_it_cannot_be_forced_half_open() -> None:
    with pytest.raises(ValueError, match="state: expected open, closed or None; got 'half_open'"):
        Breaker(RULES, 0.0).force("half_open", 0.0)


def test_each_change_of_state_is_told_with_the_state_before() -> None:
    told: list[tuple[str, str]] = []
    breaker = Breaker(RULES, 0.0, lambda before: told.append((before, breaker.state)))
    bad(breaker, 0.0, 3)
    good(breaker, 10.0, 2)
    breaker.force("closed", 10.0)

    assert told == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]


def test_it_describes_itself() -> None:
    breaker = opened()
    breaker.take(4.0)

    open_, half = breaker.describe(4.0), breaker.describe(10.0)

    assert open_ == {
        "state": "open",
        "forced": False,
        "reason": "failures in a row: 3",
        "for_s": 4.0,
        "calls": 3,
        "failures": 3,
        "slow": 0,
        "consecutive_failures": 3,
        "refused": 1,
        "half_open_in_s": 6.0,
    }
    assert (half["state"], half["trials_running"], half["trials_passed"]) == ("half_open", 0, 0)


class Calls(RuleBasedStateMachine):
    """Calls that begin and end in any order, in any state, at any time."""

    @initialize(
        trials=st.integers(1, 4),
        successes=st.integers(1, 4),
        consecutive=st.none() | st.integers(1, 4),
        growth=st.sampled_from([1.0, 2.0]),
    )
    def begin(self, trials: int, successes: int, consecutive: int | None, growth: float) -> None:
        self.given = BreakerRules(
            consecutive=consecutive,
            failure_rate=0.5,
            slow_rate=0.7,
            minimum=4,
            window_s=5.0,
            open_s=2.0,
            growth=growth,
            longest_open_s=7.0,
            trials=trials,
            successes=successes,
        )
        self.now = 0.0
        self.changes = 0
        self.permits: list[tuple[int, int]] = []  # with the number of changes of state until then
        self.breaker = Breaker(self.given, self.now, self.changed)

    def changed(self, before: str) -> None:
        self.changes += 1

    def ending(self, index: int) -> int:
        return self.permits.pop(index % len(self.permits))[0]

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def call(self) -> None:
        permit = self.breaker.take(self.now)
        assert bool(permit) or self.breaker.state != "closed"
        if permit:
            assert self.breaker.state != "open"
            self.permits.append((permit, self.changes))

    @precondition(lambda self: self.permits)
    @rule(index=st.integers(0), slow=st.booleans())
    def fail(self, index: int, slow: bool) -> None:
        self.breaker.failed(self.ending(index), self.now, slow=slow)

    @precondition(lambda self: self.permits)
    @rule(index=st.integers(0))
    def answer(self, index: int) -> None:
        before = self.breaker.state
        self.breaker.succeeded(self.ending(index), self.now)
        assert self.breaker.state in (before, "closed")

    @precondition(lambda self: self.permits)
    @rule(index=st.integers(0))
    def answer_late(self, index: int) -> None:
        self.breaker.slow(self.ending(index), self.now)

    @precondition(lambda self: self.permits)
    @rule(index=st.integers(0))
    def leave(self, index: int) -> None:
        before = self.breaker.state
        self.breaker.unjudged(self.ending(index))
        assert self.breaker.state == before

    @rule(state=st.sampled_from(["open", "closed", None]))
    def force(self, state: str | None) -> None:
        before = self.breaker.state
        if self.breaker.force(state, self.now):
            self.changes += 1  # whatever was begun before is forgotten
            assert self.breaker.state == (state or "closed")
        assert state in (None, self.breaker.state)
        assert state is not None or not self.breaker.forced
        assert self.breaker.state in (before, state or "closed")

    @invariant()
    def no_more_than_so_many_trials_run(self) -> None:
        if self.breaker.state == "half_open":
            trials = sum(1 for _, changes in self.permits if changes == self.changes)
            assert self.breaker.running == trials <= self.given.trials
            assert self.breaker.admits == (trials < self.given.trials)

    @invariant()
    def an_open_one_becomes_half_open_in_time(self) -> None:
        breaker = self.breaker
        if breaker.state == "open" and not breaker.forced:
            assert 2.0 - 1e-6 <= breaker.until - breaker.since <= 7.0 + 1e-6

    @invariant()
    def the_permit_is_there_while_it_is_closed(self) -> None:
        assert (self.breaker.permit > 0) == (self.breaker.state == "closed")


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.booleans(), max_size=60))
def test_it_opens_with_the_first_run_of_failures_that_is_long_enough(outcomes: list[bool]) -> None:
    breaker, run = Breaker(RULES, 0.0), 0
    for failed in outcomes:
        run = run + 1 if failed else 0
        (bad if failed else good)(breaker, 0.0)
        assert (breaker.state == "open") == (run == 3)
        if run == 3:
            return
