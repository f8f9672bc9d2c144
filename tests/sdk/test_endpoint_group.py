from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright_sdk import Endpoint, EndpointGroup, Instance
from meshwright_sdk.testing import FakeService, make_endpoint


def group_of(*weights: int, panic_threshold: float = 0.0) -> EndpointGroup:
    return EndpointGroup(
        [make_endpoint(f"http://10.0.0.{n}:8000", weight=weight) for n, weight in enumerate(weights, 1)],
        panic_threshold=panic_threshold,
    )


def test_who_is_ejected_is_not_usable_until_the_last_judge_restores_it() -> None:
    group = group_of(1, 1, 1)
    first, *others = group.all

    group.eject(first, "probes", "status 503")
    group.eject(first, "outliers", "5 failures")
    assert group.usable == tuple(others)
    assert first.ejections == {"probes": "status 503", "outliers": "5 failures"}
    group.restore(first, "probes")
    assert group.usable == tuple(others)
    group.restore(first, "outliers")
    assert group.usable == group.all


def test_another_reason_by_the_same_judge_takes_the_place_of_the_one_before() -> None:
    group = group_of(1, 1)
    group.eject(group.all[0], "probes", "status 503")
    before = group.usable
    group.eject(group.all[0], "probes", "status 500")

    assert group.all[0].ejections == {"probes": "status 500"}
    assert group.usable is before


def test_watchers_learn_of_the_first_ejection_and_the_last_restoration_only() -> None:
    group = group_of(1, 1)
    first, told = group.all[0], list[tuple[Endpoint, bool]]()
    group.watch(lambda endpoint: told.append((endpoint, bool(endpoint.ejections))))

    group.restore(first, "probes")
    group.eject(first, "probes", "a")
    group.eject(first, "outliers", "b")
    group.restore(first, "probes")
    group.restore(first, "outliers")

    assert told == [(first, True), (first, False)]


def test_what_a_watcher_raises_is_logged_and_keeps_nothing_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    group = group_of(1, 1)
    told: list[Endpoint] = []

    def fails(endpoint: Endpoint) -> None:
        raise KeyError(endpoint)

    group.watch(fails)
    group.watch(told.append)
    group.eject(group.all[0], "probes", "a")

    assert told == [group.all[0]]
    assert "fails raised" in caplog.text


@pytest.mark.parametrize(
    ("threshold", "ejected", "panicking"),
    [(0.5, 2, False), (0.5, 3, True), (0.0, 3, False), (0.0, 4, True), (1.0, 1, True), (1.0, 0, False)],
)
def test_all_are_usable_when_fewer_than_the_threshold_would_be(threshold: float, ejected: int, panicking: bool) -> None:
    group = group_of(1, 1, 1, 1, panic_threshold=threshold)
    for endpoint in group.all[:ejected]:
        group.eject(endpoint, "probes", "a")

    assert group.panicking is panicking
    assert group.usable == (group.all if panicking else group.all[ejected:])


def test_panic_ends_when_enough_are_back() -> None:
    group = group_of(1, 1, 1, panic_threshold=0.5)
    for endpoint in group.all[:2]:
        group.eject(endpoint, "probes", "a")
    assert group.panicking
    group.restore(group.all[0], "probes")
    assert not group.panicking
    assert group.usable == (group.all[0], group.all[2])


def test_panic_is_judged_anew_when_endpoints_come_and_go() -> None:
    group = group_of(1, 1, 1, panic_threshold=0.5)
    for endpoint in group.all[:2]:
        group.eject(endpoint, "probes", "a")
    group.replace((*group.all, make_endpoint("http://10.0.0.9:8000")))

    assert not group.panicking
    assert [each.url for each in group.usable] == ["http://10.0.0.3:8000", "http://10.0.0.9:8000"]


def test_factors_of_several_are_multiplied_and_taken_back_one_by_one() -> None:
    group = group_of(2, 2)
    first, second = group.all

    group.scale(first, "slow_start", 0.5)
    group.scale(first, "load", 0.5)
    assert (first.weight, second.weight) == (50, 200)
    group.scale(first, "slow_start", 1.0)
    assert (first.weight, second.weight) == (100, 200)
    group.scale(first, "load", 1.0)
    assert (first.weight, second.weight) == (2, 2)
    assert first.factors == {}


def test_however_small_its_factor_an_endpoint_keeps_some_weight_and_without_one_it_gets_none() -> None:
    group = group_of(1, 0)
    for endpoint in group.all:
        group.scale(endpoint, "load", 0.0)

    assert [each.weight for each in group.all] == [1, 0]


def test_many_factors_are_one_change() -> None:
    group = group_of(1, 1, 1)
    before = group.usable

    group.scale_all("load", {group.all[0]: 0.5, group.all[1]: 2.0, group.all[2]: 1.0})
    changed = group.usable
    group.scale_all("load", {group.all[0]: 0.5, group.all[1]: 2.0})

    assert [each.weight for each in group.all] == [50, 200, 100]
    assert changed is not before
    assert group.usable is changed


def test_what_is_done_at_once_is_one_change() -> None:
    group = group_of(1, 1, 1)
    first, second, third = group.all
    before = group.usable
    with group.at_once():
        with group.at_once():
            group.eject(first, "probes", "a reason")
        group.eject(second, "probes", "a reason")
        group.restore(second, "probes")
        group.scale(third, "load", 0.5)
        assert group.usable is before
    assert group.usable == (second, third)
    with group.at_once():
        pass
    assert group.usable == (second, third)


def test_a_change_that_fails_half_way_is_made_so_far() -> None:
    group = group_of(1, 1)
    first = group.all[0]

    def fail() -> None:
        with group.at_once():
            group.eject(first, "probes", "a reason")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert group.usable == group.all[1:]


def test_a_factor_of_one_that_has_gone_is_none_of_the_groups() -> None:
    group = group_of(1, 1)
    gone = group.all[0]
    group.replace(group.all[1:])
    group.scale(gone, "load", 0.5)

    assert [each.weight for each in group.all] == [1]
    assert (gone.factors, gone.weight) == ({"load": 0.5}, 1)


def test_an_approval_restores_and_is_health_until_the_next_ejection() -> None:
    group = group_of(1, 1)
    first, second = group.all
    group.eject(first, "probes", "status 503")
    assert (first.health, second.health) == ("ejected", "unchecked")
    group.approve(first, "probes")
    assert (first.health, group.usable) == ("healthy", group.all)
    group.eject(first, "outliers", "5 failures")
    assert first.health == "ejected"
    group.restore(first, "outliers")
    assert first.health == "healthy"
    group.eject(first, "probes", "status 503")
    group.restore(first, "probes")
    assert first.health == "unchecked"


def test_a_retired_group_leaves_nothing_behind_and_heeds_nobody() -> None:
    group = group_of(2, 2)
    first, second = group.all
    told: list[Endpoint] = []
    group.watch(told.append)
    group.eject(first, "probes", "a reason")
    group.scale(second, "load", 0.5)
    group.approve(second, "probes")
    group.retire()
    for _ in range(2):
        group.eject(second, "probes", "a late one")
        group.scale(first, "load", 0.1)
        group.approve(first, "probes")
        group.restore(second, "probes")

    assert [(each.ejections, each.factors, each.health) for each in (first, second)] == [({}, {}, "unchecked")] * 2
    assert told == [first]


def test_watchers_do_not_hear_of_endpoints_that_have_gone() -> None:
    group = group_of(1, 1)
    first, told = group.all[0], list[Endpoint]()
    group.watch(told.append)
    group.replace(group.all[1:])
    group.eject(first, "probes", "a late judgement")

    assert told == []


@pytest.mark.parametrize("factor", [-1, inf, nan])
def test_a_factor_of_which_no_weight_can_be_made_is_refused(factor: float) -> None:
    group = group_of(1)
    with pytest.raises(ValueError, match=f"factor: expected 0 or more; got {factor}"):
        group.scale(group.all[0], "load", factor)
    assert group.all[0].factors == {}


def test_the_usable_stay_the_same_object_until_something_changes() -> None:
    group = group_of(1, 1)
    first, second = group.all
    group.scale(first, "load", 0.5)
    before = group.usable

    group.scale(first, "load", 0.5)
    group.restore(second, "probes")
    assert group.usable is before
    group.scale(first, "load", 0.6)
    assert group.usable is not before


def test_another_weight_of_the_instance_counts_at_the_next_list() -> None:
    group = group_of(1, 1)
    group.all[0].instance = Instance(url=group.all[0].url, weight=5)
    group.replace(group.all)

    assert [each.weight for each in group.usable] == [5, 1]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["eject", "restore", "scale"]),
            st.integers(0, 4),
            st.sampled_from("ab"),
            st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0]),
        )
    ),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_what_has_been_done_and_undone_leaves_nothing_behind(
    steps: list[tuple[str, int, str, float]], threshold: float
) -> None:
    service = FakeService(5, panic_threshold=threshold)
    group = service.group
    for what, place, by, factor in steps:
        endpoint = group.all[place]
        if what == "eject":
            group.eject(endpoint, by, "a reason")
        elif what == "restore":
            group.restore(endpoint, by)
        else:
            group.scale(endpoint, by, factor)
        assert group.usable
        weights, usable = [(each.weight, each.unit) for each in group.all], group.usable
        group.replace(group.all)
        assert ([(each.weight, each.unit) for each in group.all], group.usable) == (weights, usable)
        assert group.panicking or not any(each.ejections for each in group.usable)
    for endpoint in group.all:
        for by in "ab":
            group.restore(endpoint, by)
            group.scale(endpoint, by, 1.0)

    assert group.usable == group.all
    assert [(each.weight, each.ejections, each.factors) for each in group.all] == [(1, {}, {})] * 5
