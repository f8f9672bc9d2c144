from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from meshwright_plugins.discovery.static import Static
from meshwright_sdk import Instance
from meshwright_sdk.testing import build, check_discovery

FULL = {"url": "https://b.test", "weight": 2, "zone": "east", "labels": {"version": "v2"}}


async def test_the_listed_endpoints_are_reported_once_and_for_ever() -> None:
    static = build(Static, endpoints=["http://10.0.0.1:80", FULL, "unix:/run/shop.sock"])

    assert [list(instances) async for instances in static.watch()] == [
        [
            Instance(url="http://10.0.0.1:80"),
            Instance(url="https://b.test", weight=2, zone="east", labels={"version": "v2"}),
            Instance(url="unix:/run/shop.sock"),
        ]
    ]


async def test_a_service_may_have_no_endpoints_yet() -> None:
    assert [list(instances) async for instances in build(Static, endpoints=[]).watch()] == [[]]


@pytest.mark.parametrize(
    ("endpoints", "problem"),
    [
        (["10.0.0.1:80"], "expected http://host:port, https://host:port or unix:/path; got '10.0.0.1:80'"),
        ([{"url": "ftp://a"}], "Value error, expected http://host:port"),
        ([{"url": "http://a", "weight": -1}], "greater than or equal to 0"),
        ([{"url": "http://a", "wieght": 1}], "Extra inputs are not permitted"),
        ([7], "expected an endpoint's URL, or a mapping with the key url; got 7"),
    ],
)
def test_a_wrong_endpoint_is_refused(endpoints: list[Any], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        build(Static, endpoints=endpoints)

    assert problem in str(caught.value)


async def test_nothing_can_be_registered_in_a_list() -> None:
    with pytest.raises(NotImplementedError, match="static: registration is not possible"):
        await build(Static, endpoints=[]).register(Instance(url="http://a"))


@pytest.mark.parametrize(("endpoint", "valid"), [("http://a", True), (FULL, True), ({"weight": 1}, False), (7, False)])
def test_the_schema_for_editors_takes_both_forms(endpoint: Any, valid: bool) -> None:
    validator = jsonschema.Draft202012Validator(Static.Options.model_json_schema())

    assert validator.is_valid({"endpoints": [endpoint]}) is valid


async def test_it_holds_to_the_contract_of_discoveries() -> None:
    await check_discovery(build(Static, endpoints=["http://10.0.0.1:80"]))
