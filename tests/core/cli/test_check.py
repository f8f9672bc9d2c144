"""`meshwright check`."""

from __future__ import annotations

from pathlib import Path

from tests.core.cli.conftest import Call


def test_a_right_file_is_ok_with_what_is_in_it(call: Call, gateway: Path) -> None:
    result = call("check", "gateway.yaml")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "ok: gateway.yaml: 1 listener, 2 routes, 2 services\n"


def test_no_address_is_bound(call: Call, gateway: Path) -> None:
    gateway.write_text(gateway.read_text("utf-8").replace("127.0.0.1:0", "192.0.2.1:80", 1), "utf-8")

    assert call("check", "gateway.yaml").exit_code == 0


def test_a_filter_that_refuses_its_options_is_found(call: Call, gateway: Path, folder: Path) -> None:
    (folder / "narrow.py").write_text(
        "from meshwright_sdk import Filter\nclass Narrow(Filter):\n    def __init__(self, options, context):\n"
        "        raise ValueError('expected a moon; got none')\n",
        "utf-8",
    )
    text = gateway.read_text("utf-8").replace("filters: [request_id]", "plugins: [./narrow.py]\nfilters:\n  - narrow")
    gateway.write_text(text, "utf-8")

    result = call("check", "gateway.yaml")

    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == "gateway.yaml:6: filters[0].narrow: expected a moon; got none"


def test_a_plugin_file_that_fails_is_told_with_its_place_in_the_yaml(call: Call, gateway: Path, folder: Path) -> None:
    (folder / "wrong.py").write_text("import acme_nowhere", "utf-8")
    gateway.write_text(f"plugins: [./wrong.py]\n{gateway.read_text('utf-8')}", "utf-8")

    result = call("check", "gateway.yaml")

    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == (
        "gateway.yaml:1: plugins[0]: expected ./wrong.py to import; got ModuleNotFoundError: "
        f"No module named 'acme_nowhere' ({folder}/wrong.py:1)"
    )


def test_what_references_gave_is_in_no_message(call: Call, gateway: Path) -> None:
    for text in (
        'plugins: ["${KEY}"]',
        'plugins: ["./${KEY}.py"]',
        'filters: ["${KEY}"]',
        'services: {s: {app: "${KEY}:x"}}',
        'services: {s: {app: "x${KEY}y:x"}}',
    ):
        gateway.write_text(text, "utf-8")

        result = call("check", "gateway.yaml", KEY="HIDDENVALUE")

        assert result.exit_code == 1
        assert "HIDDENVALUE" not in result.output
        assert "${KEY}" in result.output


def test_a_route_that_no_request_can_reach_is_warned_of(call: Call, gateway: Path) -> None:
    more = "routes:\n  - {match: {path_regex: /a.*}, to: stable}\n  - {to: stable}"
    gateway.write_text(gateway.read_text("utf-8").replace("routes:", more), "utf-8")

    result = call("check", "gateway.yaml")

    assert result.exit_code == 0
    assert result.stderr == (
        "warning: gateway.yaml:6: routes[0]: expected a route that some request can reach; got one whose requests all "
        'go to "route-1" (line 7) (on one host a path_regex comes after every path)\n'
    )
    assert result.stdout.startswith("ok: ")


ORDERED = """
from meshwright_sdk import Filter

class Again(Filter):
    goes_inside = {"instead": "it would see no failure"}

class Instead(Filter):
    pass
"""


def test_an_order_of_filters_that_makes_little_sense_is_warned_of(call: Call, gateway: Path, folder: Path) -> None:
    (folder / "ordered.py").write_text(ORDERED, "utf-8")
    yaml = """\
plugins: [./ordered.py]
routes:
  - name: wrong
    filters: [again]
    to: [a, b]
  - name: right
    match: {path: /right}
    filters: [instead, again]
    to: b
services:
  a: {endpoints: ["http://127.0.0.1:1"], filters: [instead]}
  b: {endpoints: ["http://127.0.0.1:2"]}
"""
    gateway.write_text(yaml, "utf-8")

    result = call("check", "gateway.yaml")

    assert result.exit_code == 0
    assert result.stderr == (
        "warning: gateway.yaml:4: routes[0].filters[0].again: expected again further inside than instead (line 11); "
        "got it around (instead: it would see no failure)\n"
    )
