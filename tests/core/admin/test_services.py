from __future__ import annotations

from typing import Any

from meshwright.admin.services import add_up_services


def status(worker: str, *endpoints: dict[str, Any]) -> dict[str, Any]:
    return {"worker": worker, "services": [{"name": "orders", "balancer": "random", "endpoints": list(endpoints)}]}


def endpoint(url: str, in_flight: int, requests: int, idle: int, **more: Any) -> dict[str, Any]:
    return {
        "url": url,
        "weight": 2,
        "in_flight": in_flight,
        "requests": requests,
        "pool": {"idle": idle, "active": in_flight},
        **more,
    }


def test_the_numbers_of_all_workers_are_added_up_and_kept_apart() -> None:
    (service,) = add_up_services(
        [status("0", endpoint("http://a:1", 1, 10, 3)), status("1", endpoint("http://a:1", 2, 20, 4))]
    )

    (total,) = service["endpoints"]
    assert (total["in_flight"], total["requests"], total["weight"]) == (3, 30, 2)
    assert total["pool"] == {"idle": 7, "active": 3}
    assert total["workers"] == [
        {"worker": "0", "in_flight": 1, "requests": 10, "pool": {"idle": 3, "active": 1}},
        {"worker": "1", "in_flight": 2, "requests": 20, "pool": {"idle": 4, "active": 2}},
    ]


def test_an_endpoint_that_only_one_worker_knows_is_shown() -> None:
    (service,) = add_up_services(
        [status("0", endpoint("http://a:1", 1, 1, 1)), status("1", endpoint("http://b:1", 5, 5, 5))]
    )

    assert [(each["url"], each["in_flight"]) for each in service["endpoints"]] == [("http://a:1", 1), ("http://b:1", 5)]


def test_health_is_what_the_worker_says_or_unchecked() -> None:
    (service,) = add_up_services(
        [status("0", endpoint("http://a:1", 0, 0, 0), endpoint("http://b:1", 0, 0, 0, health="down"))]
    )

    assert [each["health"] for each in service["endpoints"]] == ["unchecked", "down"]


def test_a_worker_that_did_not_answer_and_a_service_without_endpoints_are_no_error() -> None:
    services = add_up_services(
        [{"worker": "0", "error": "no answer"}, status("1"), {"worker": "2", "services": [{"name": "app"}]}]
    )

    assert services == [
        {"name": "app", "endpoints": []},
        {"name": "orders", "balancer": "random", "endpoints": []},
    ]


def test_the_workers_own_statuses_are_not_changed() -> None:
    first = status("0", endpoint("http://a:1", 1, 10, 3))

    add_up_services([first, status("1", endpoint("http://a:1", 2, 20, 4))])

    assert first == status("0", endpoint("http://a:1", 1, 10, 3))
