from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from meshwright_plugins.filters.priority import PriorityOf
from meshwright_sdk import Identity, PluginError
from meshwright_sdk.testing import FakeUpstream, build, make_request
from meshwright_sdk.testing.checks import check_filter


async def priority(client: str = "192.0.2.1", headers: dict[str, str] | None = None, **options: Any) -> int:
    upstream = FakeUpstream()
    await build(PriorityOf, **options)(make_request(headers=headers or {}, client=client), upstream)
    return upstream.requests[0].priority


async def test_it_holds_to_the_contract_of_filters() -> None:
    await check_filter(build(PriorityOf, key="header:x-level"))


@pytest.mark.parametrize(
    ("level", "number"), [("lowest", 0), ("low", 2), ("normal", 5), ("high", 7), ("critical", 9), (3, 3)]
)
async def test_a_level_is_a_name_or_a_number(level: str | int, number: int) -> None:
    assert await priority(level=level) == number


@pytest.mark.parametrize("wrong", ["urgent", 10, -1, True, 2.5, "5"])
def test_any_other_level_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError, match="expected a priority: lowest, low, normal, high, critical"):
        build(PriorityOf, level=wrong)


async def test_values_are_mapped_to_levels() -> None:
    options: dict[str, Any] = {"key": "header:x-plan", "levels": {"free": "low", "batch": 0}}

    assert await priority(headers={"x-plan": "free"}, **options) == 2
    assert await priority(headers={"x-plan": "batch"}, **options) == 0
    assert await priority(headers={"x-plan": "other"}, **options) == 5
    assert await priority(**options) == 5


async def test_without_levels_the_value_is_a_level_itself() -> None:
    assert await priority(headers={"x-level": "low"}, key="header:x-level") == 2
    assert await priority(headers={"x-level": "1"}, key="header:x-level") == 1


@pytest.mark.parametrize("value", ["10", "-1", "05", "urgent", "", "\u0665"])
async def test_what_is_no_level_counts_as_none(value: str) -> None:
    request, upstream = make_request(), FakeUpstream()
    request.headers.raw.append((b"x-level", value.encode()))

    await build(PriorityOf, key="header:x-level", level="low")(request, upstream)

    assert upstream.requests[0].priority == 2


@pytest.mark.parametrize("key", ["header:x-level", "{header:x-level}"])
async def test_a_client_cannot_raise_itself(key: str) -> None:
    assert await priority(headers={"x-level": "critical"}, key=key) == 5


async def test_a_trusted_client_may() -> None:
    options: dict[str, Any] = {"key": "header:x-level", "trusted_clients": ["10.0.0.0/8", "fd00::/8"]}

    assert await priority("10.1.2.3", {"x-level": "critical"}, **options) == 9
    assert await priority("fd00::1", {"x-level": "critical"}, **options) == 9
    assert await priority("192.0.2.1", {"x-level": "critical"}, **options) == 5
    assert await priority("", {"x-level": "critical"}, **options) == 5


async def test_a_claim_may_raise() -> None:
    upstream, request = FakeUpstream(), make_request()
    request.identity = Identity(subject="ann", method="jwt", claims={"plan": "gold"})

    await build(PriorityOf, key="claim:plan", levels={"gold": "high"})(request, upstream)

    assert upstream.requests[0].priority == 7


async def test_a_python_rule_may_raise() -> None:
    assert await priority(key="python: 9 if request.path == '/' else 1") == 9


async def test_a_python_rule_that_fails_says_which() -> None:
    with pytest.raises(PluginError, match=r"request\.nothing"):
        await priority(key="python: request.nothing")


async def test_the_upstream_is_told_and_never_by_the_client() -> None:
    upstream = FakeUpstream()
    request = make_request(headers={"x-priority": "9"})

    await build(PriorityOf, level="low", header="x-priority")(request, upstream)

    assert upstream.requests[0].headers.getlist("x-priority") == ["2"]


@pytest.mark.parametrize("options", [{"levels": {"a": 1}}, {"trusted_clients": ["10.0.0.0/8"]}])
def test_what_is_about_a_key_wants_one(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="expected a key"):
        build(PriorityOf, **options)


def test_trusted_clients_mean_nothing_for_a_claim() -> None:
    with pytest.raises(ValidationError, match="clients say themselves"):
        build(PriorityOf, key="claim:plan", trusted_clients=["10.0.0.0/8"])
