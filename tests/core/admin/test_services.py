from __future__ import annotations

from typing import Any

import pytest

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


@pytest.mark.parametrize(
    ("of_workers", "health"),
    [
        (["unchecked", "unchecked"], "unchecked"),
        (["unchecked", "healthy"], "healthy"),
        (["healthy", "healthy"], "healthy"),
        (["healthy", "ejected"], "partly ejected"),
        (["ejected", "unchecked"], "partly ejected"),
        (["ejected", "ejected"], "ejected"),
        ([None, None], "unchecked"),
    ],
)
def test_health_is_what_all_workers_say(of_workers: list[str | None], health: str) -> None:
    statuses = [
        status(str(number), endpoint("http://a:1", 0, 0, 0, **({"health": each} if each else {})))
        for number, each in enumerate(of_workers)
    ]
    (service,) = add_up_services(statuses)

    (total,) = service["endpoints"]
    assert total["health"] == health
    assert [each.get("health") for each in total["workers"]] == of_workers


def test_the_reasons_of_all_workers_are_told() -> None:
    (service,) = add_up_services(
        [
            status("0", endpoint("http://a:1", 0, 0, 0, ejections={"outliers": "5 failures"}, effective_weight=2)),
            status("1", endpoint("http://a:1", 0, 0, 0, ejections={"probes": "status 503"}, effective_weight=3)),
            status("2", endpoint("http://a:1", 0, 0, 0, ejections={}, effective_weight=4)),
        ]
    )

    (total,) = service["endpoints"]
    assert total["ejections"] == {"outliers": "5 failures", "probes": "status 503"}
    assert [each["effective_weight"] for each in total["workers"]] == [2, 3, 4]


def test_a_service_panics_if_one_worker_does() -> None:
    calm, panicking = status("0"), status("1")
    calm["services"][0]["panicking"], panicking["services"][0]["panicking"] = False, True

    assert add_up_services([calm, panicking, calm])[0]["panicking"] is True
    assert add_up_services([calm, calm])[0]["panicking"] is False


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
