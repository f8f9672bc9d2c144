"""`explain` beside running traffic: it tells what it sees and moves nothing. The rest is in cli/test_explain.py."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent

import pytest

from meshwright.traffic.explain import explain
from meshwright.traffic.gateway import Gateway
from meshwright.traffic.service import Service
from meshwright.traffic.snapshot import Snapshot
from meshwright_sdk import ConfigDocument
from meshwright_sdk.testing import make_request

YAML = """
    routes:
      - {name: order, match: {path: "/orders/*"}, to: [{service: order, weight: 1}, {service: inside, weight: 1}]}
      - {name: nobody, match: {path: /nobody}, to: nobody}
    services:
      order: {endpoints: ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]}
      inside: {app: "starlette.applications:Starlette"}
      nobody: {endpoints: []}
    """


@pytest.fixture
async def snapshot(tmp_path: Path) -> AsyncIterator[Snapshot]:
    gateway = Gateway()
    document = ConfigDocument(text=dedent(YAML), name="gateway.yaml", base_dir=tmp_path)
    snapshot = await gateway.prepare(document, 1)
    await gateway.commit(snapshot)
    yield snapshot
    await gateway.close()


async def test_turns_of_balancers_are_not_moved(snapshot: Snapshot) -> None:
    service = snapshot.services["order"]
    assert isinstance(service, Service)
    before = [service.balancer.pick(service.endpoints, make_request()) for _ in range(3)]
    for _ in range(2):
        endpoints = explain(snapshot, "GET", "/orders/1").services[0].endpoints
        assert [each.picked for each in endpoints].count(True) == 1

    after = [service.balancer.pick(service.endpoints, make_request()) for _ in range(3)]

    assert (after, set(after)) == (before, set(service.endpoints))
    assert [endpoint.requests for endpoint in service.endpoints] == [0, 0, 0]


async def test_what_is_in_flight_is_seen(snapshot: Snapshot) -> None:
    snapshot.services["order"].endpoints[1].in_flight = 7

    assert [each.in_flight for each in explain(snapshot, "GET", "/orders/1").services[0].endpoints] == [0, 7, 0]


async def test_an_application_has_neither_balancer_nor_endpoints(snapshot: Snapshot) -> None:
    inside = explain(snapshot, "GET", "/orders/1").services[1]

    assert (inside.balancer, inside.endpoints, inside.share) == ("", (), 0.5)


async def test_a_service_without_endpoints_is_told_with_its_balancer(snapshot: Snapshot) -> None:
    (nobody,) = explain(snapshot, "GET", "/nobody").services

    assert (nobody.balancer, nobody.endpoints, nobody.chosen) == ("weighted_round_robin", (), True)


async def test_it_can_be_said_in_json(snapshot: Snapshot) -> None:
    explanation = explain(snapshot, "GET", "http://shop.example.com/orders/1", [("x-a", "1")]).to_dict()

    assert explanation["route"] == "order"
    assert {each["route"]: each["chosen"] for each in explanation["verdicts"]} == {"order": True, "nobody": False}
    endpoints = explanation["services"][0]["endpoints"]
    assert sorted(each.pop("picked") for each in endpoints) == [False, False, True]
    assert endpoints[0] == {"url": "http://127.0.0.1:1", "weight": 1, "zone": "", "in_flight": 0, "ejected": {}}


REFERENCES = """
    filters: ["${FILTER}"]
    routes:
      - {name: keyed, match: {headers: {x-key: "${KEY}"}, path: "/${KEY}/*"}, to: shop}
      - {name: other, match: {path: "/*"}, to: shop}
    services: {shop: {endpoints: [{url: "http://127.0.0.1:${PORT}", zone: "${KEY}"}]}}
    """


async def test_what_references_gave_is_not_told_but_for_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("KEY", "hidden-key"), ("PORT", "8001"), ("FILTER", "request_id")):
        monkeypatch.setenv(name, value)
    gateway = Gateway()
    snapshot = await gateway.prepare(ConfigDocument(text=dedent(REFERENCES), name="gateway.yaml", base_dir=tmp_path), 1)
    try:
        refused = explain(snapshot, "GET", "/")
        taken = explain(snapshot, "GET", "/hidden-key/1", [("x-key", "hidden-key")])
    finally:
        await gateway.discard(snapshot)
        await gateway.close()

    assert refused.verdicts[0].reason == "path: expected /${KEY}/*; got '/'; header: expected x-key=${KEY}; got None"
    assert "hidden-key" not in str(refused.to_dict())
    assert taken.verdicts[0].reason.startswith("chosen: any host, path /${KEY}/*")
    assert (taken.services[0].endpoints[0].url, taken.services[0].endpoints[0].zone) == (
        "http://127.0.0.1:8001",
        "${KEY}",
    )
    assert (taken.filters[0].name, taken.filters[0].options) == ("request_id", {})


async def test_the_path_is_normalised_as_by_the_first_listener(tmp_path: Path) -> None:
    gateway = Gateway()
    listener = '{name: a, bind: "127.0.0.1:0", path: {encoded_slash: decode}}'
    text = f"listeners: [{listener}]\n{dedent(YAML)}"
    snapshot = await gateway.prepare(ConfigDocument(text=text, name="gateway.yaml", base_dir=tmp_path), 1)
    await gateway.commit(snapshot)

    assert explain(snapshot, "GET", "//orders%2f1").route == "order"
    await gateway.close()


@pytest.mark.parametrize(
    ("method", "url", "headers", "message"),
    [
        ("CONNECT", "/orders/1", [], "method: CONNECT is not served here"),
        ("B(EW", "/orders/1", [], "method: expected a word in capitals"),
        ("GET", "*", [], "target: expected a path; got *, which is for OPTIONS"),
        ("GET", "/orders/1 2", [], "request line: expected METHOD TARGET HTTP/1.1"),
        ("GET", "/\u00fc", [], "target: expected printable ASCII"),
        ("GET", "/orders/1", [("host", "a"), ("host", "b")], "host: expected one field; got several"),
        (
            "POST",
            "/",
            [("content-length", "1"), ("transfer-encoding", "chunked")],
            "framing: expected Content-Length or",
        ),
        ("GET", "/#x", [], "target: expected a path and a query of printable ASCII, without fragment"),
    ],
)
async def test_what_a_listener_refuses_is_refused(
    snapshot: Snapshot, method: str, url: str, headers: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        explain(snapshot, method, url, headers)


async def test_routes_see_the_fields_that_a_listener_hands_on(tmp_path: Path) -> None:
    match = "{headers: {x-forwarded-proto: https, x-hop: {present: false}}}"
    text = f"routes: [{{name: secure, match: {match}, filters: [respond: {{text: ok}}]}}]"
    gateway = Gateway()
    snapshot = await gateway.prepare(ConfigDocument(text=text, name="gateway.yaml", base_dir=tmp_path), 1)
    fields = [("connection", "x-hop"), ("x-hop", "1"), ("x-forwarded-proto", "gopher")]

    found = [explain(snapshot, "GET", url, fields).route for url in ("https://a/", "http://a/", "/")]

    assert found == ["secure", None, None]
    await gateway.discard(snapshot)
    await gateway.close()
