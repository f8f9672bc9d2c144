"""`meshwright explain`, and with it what `meshwright.explain` finds out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli.conftest import Call


def explained(call: Call, *arguments: str) -> dict[str, Any]:
    result = call("explain", "gateway.yaml", *arguments, "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if found["route"] else 1), result.stderr
    return found


def test_route_filters_service_and_endpoint_are_told(call: Call, gateway: Path) -> None:
    found = explained(call, "GET", "/orders/7?x=1")

    assert (found["method"], found["url"], found["route"]) == ("GET", "http://localhost/orders/7?x=1", "order")
    assert found["path_params"] == {"id": "7"}
    assert [(each["name"], each["scope"]) for each in found["filters"]] == [
        ("request_id", "every route"),
        ("headers", "this route"),
    ]
    assert found["filters"][1]["options"] == {"response": {"set": {"x-shop": "tea"}, "add": {}, "remove": []}}
    stable, canary = found["services"]
    assert (stable["name"], stable["share"], stable["chosen"]) == ("stable", 0.9, True)
    assert (canary["name"], canary["share"], canary["chosen"]) == ("canary", 0.1, False)
    assert [each["url"] for each in stable["endpoints"]] == ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    assert sorted(each["picked"] for each in stable["endpoints"]) == [False, True]


def test_every_route_has_a_verdict_with_its_reason(call: Call, gateway: Path) -> None:
    found = explained(call, "POST", "http://shop.example.com/orders/7")

    reasons = {each["route"]: each["reason"] for each in found["verdicts"]}
    assert found["route"] is None
    assert reasons["order"] == "method: expected GET; got POST"
    assert "host: expected hello.example.com; got 'shop.example.com'" in reasons["hello"]


def test_a_header_decides_as_it_would_for_the_client(call: Call, gateway: Path) -> None:
    assert explained(call, "GET", "/", "-H", "Host: hello.example.com")["route"] == "hello"
    assert explained(call, "get", "https://HELLO.example.com:8443")["route"] == "hello"


def test_a_sticky_client_is_told_the_service_it_belongs_to(call: Call, gateway: Path) -> None:
    text = gateway.read_text("utf-8").replace("    to: [", "    sticky: {cookie: lane}\n    to: [")
    gateway.write_text(text, "utf-8")

    stable, canary = explained(call, "GET", "/orders/7", "-H", "cookie: lane=canary")["services"]

    assert (stable["chosen"], canary["chosen"]) == (False, True)


def test_secrets_in_options_are_not_shown(call: Call, gateway: Path, folder: Path) -> None:
    (folder / "keyed.py").write_text(
        "from meshwright_sdk import Filter, Options, Secret\nclass KeyedOptions(Options):\n    key: Secret\n"
        "class Keyed(Filter[KeyedOptions]): ...\n",
        "utf-8",
    )
    text = gateway.read_text("utf-8").replace("[request_id]", "[{keyed: {key: hunter2}}]\nplugins: [keyed.py]")
    gateway.write_text(text, "utf-8")

    found = explained(call, "GET", "/orders/7")

    assert found["filters"][0]["options"] == {"key": "***"}


def test_people_get_lines_with_the_chosen_ones_marked(call: Call, gateway: Path) -> None:
    result = call("explain", "gateway.yaml", "GET", "/orders/7")

    lines = result.stdout.splitlines()
    assert lines[0] == "GET http://localhost/orders/7"
    assert any(line.startswith("  * order  chosen: ") for line in lines)
    assert '  2. headers {"response": {"set": {"x-shop": "tea"}, "add": {}, "remove": []}}  (this route)' in lines
    assert "Service stable, 90.0% of the requests, balancer weighted_round_robin" in lines
    assert {"  * http://127.0.0.1:1  weight 2, zone b", "    http://127.0.0.1:1  weight 2, zone b"} & set(lines)
    assert sum(line.startswith("  * http://127.0.0.1:") for line in lines) == 1


def test_a_request_to_no_route_is_told_to_be_a_404(call: Call, gateway: Path) -> None:
    result = call("explain", "gateway.yaml", "GET", "/nothing")

    assert "  1. request_id  (every route)" in result.stdout.splitlines()
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (
        1,
        "No route takes it: the answer would be 404, code no_route.",
    )


@pytest.mark.parametrize(
    ("method", "url", "message"),
    [
        ("GET", "ftp://x/", "url: expected http://host/path or just /path; got 'ftp://x/'"),
        ("G T", "/", "request line: expected METHOD TARGET HTTP/1.1; got b'G T / HTTP/1.1'"),
        ("GET", "/../x", "path: expected dot segments to stay below the root; got more '..' than segments"),
        ("GET", "http://a b/", "host: expected a name and maybe a port; got b'a b'"),
    ],
)
def test_what_is_no_request_is_refused(call: Call, gateway: Path, method: str, url: str, message: str) -> None:
    result = call("explain", "gateway.yaml", method, url)

    assert (result.exit_code, result.stderr) == (1, f"{message}\n")


def test_a_header_without_a_colon_is_wrong_usage(call: Call, gateway: Path) -> None:
    result = call("explain", "gateway.yaml", "GET", "/", "-H", "x-beta")

    assert result.exit_code == 2
    assert "expected name:value; got 'x-beta'" in result.stderr
