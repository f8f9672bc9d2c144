from __future__ import annotations

import pytest
from pydantic import ValidationError

from meshwright_sdk import BreakerOptions, BreakerRules


def test_what_is_left_out_is_as_the_rules_have_it() -> None:
    assert BreakerOptions().rules() == BreakerRules(consecutive=10, failure_rate=0.5)


def test_slow_calls_count_when_it_is_said_which_are_slow() -> None:
    rules = BreakerOptions.model_validate({"slow_after": "1s", "slow_rate": "80%"}).rules()

    assert rules.slow_rate == 0.8


def test_everything_reaches_the_rules() -> None:
    options = BreakerOptions.model_validate(
        {
            "consecutive_failures": None,
            "failure_rate": "20%",
            "min_requests": 7,
            "window": "1m",
            "open_for": "2s",
            "growth": 1.5,
            "max_open_for": "20s",
            "trials": 4,
            "successes": 5,
        }
    )

    assert options.rules() == BreakerRules(
        failure_rate=0.2,
        minimum=7,
        window_s=60.0,
        open_s=2.0,
        growth=1.5,
        longest_open_s=20.0,
        trials=4,
        successes=5,
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"consecutive_failures": None, "failure_rate": None},
            "one of consecutive_failures, failure_rate and slow_after; got null for",
        ),
        ({"failure_rate": "0%"}, "greater than 0"),
        ({"window": "0s"}, "greater than 0"),
        ({"open_for": "10m"}, "max_open_for: expected 10m .open_for. or more; got 5m"),
        ({"slow_rate": "5%"}, "expected slow_after, which slow_rate is about; got none"),
        ({"growth": 0.5}, "greater than or equal to 1"),
    ],
)
def test_what_makes_no_breaker_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BreakerOptions.model_validate(wrong)
