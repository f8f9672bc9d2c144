from __future__ import annotations

from pathlib import Path

import pytest

from meshwright.traffic.checked import read
from meshwright_sdk import ConfigDocument, ConfigError

GATEWAY = """
listeners: [{name: web, bind: "127.0.0.1:0"}]
routes: [{name: all, match: {path: "/*"}, filters: [ROUTE], to: one}]
services:
  one: {endpoints: ["http://127.0.0.1:1"], filters: [ONE]}
  two: {endpoints: ["http://127.0.0.1:2"], filters: [TWO]}
  three: {endpoints: ["http://127.0.0.1:3"], filters: [THREE]}
"""


def problems(**filters: str) -> list[str]:
    text = GATEWAY
    for place in ("ROUTE", "ONE", "TWO", "THREE"):
        text = text.replace(f"[{place}]", f"[{filters.get(place.lower(), '')}]")
    try:
        read(ConfigDocument(text=text, name="gateway.yaml", base_dir=Path()))
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_a_service_that_a_filter_names_is_there() -> None:
    (problem,) = problems(route="{mirror: {to: tow}}")

    assert problem.startswith("gateway.yaml:3: routes[0].filters[0].mirror.to: expected one of the services one, two")
    assert problem.endswith('got "tow" (did you mean "two"?)')


@pytest.mark.parametrize("use", ["mirror: {to: one}", "fallback: {service: one}"])
def test_filters_of_a_service_do_not_call_it_again(use: str) -> None:
    (problem,) = problems(one=f"{{{use}}}")

    assert problem.startswith("gateway.yaml:5: services.one.filters[0].")
    assert problem.endswith('expected a service whose filters do not lead back to one; got "one"')


def test_services_do_not_call_each_other_in_a_circle() -> None:
    found = problems(
        one="{fallback: {service: two}}", two="retry, {mirror: {to: three}}", three="{fallback: {service: one}}"
    )

    assert [each.split(": ")[1] for each in found] == [
        "services.one.filters[0].fallback.service",
        "services.two.filters[1].mirror.to",
        "services.three.filters[0].fallback.service",
    ]


def test_services_may_call_what_does_not_lead_back() -> None:
    found = problems(
        route="{mirror: {to: one}}, {fallback: {service: one}}",
        one="{fallback: {service: two}}, {mirror: {to: three}}",
        two="{fallback: {service: three}}",
    )

    assert found == []
