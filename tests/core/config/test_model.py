from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from meshwright.config import Bind, GatewayConfig, PluginUse, model
from meshwright_sdk import FieldMatch, Match
from tests.certificates import write_certificate
from tests.core.config.samples import SHOP, loaded, problems


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_certificate(tmp_path)
    return tmp_path


def test_the_configuration_of_the_design_is_read(folder: Path) -> None:
    config = loaded(SHOP, folder).config

    assert [(each.name, str(each.bind)) for each in config.listeners] == [
        ("web", "0.0.0.0:8080"),
        ("secure", "0.0.0.0:8443"),
    ]
    assert [use.name for use in config.filters] == ["request_id", "jwt"]
    assert [route.name for route in config.routes] == ["orders", "checkout", "checkout-split"]
    assert [(target.service, target.weight) for target in config.routes[2].to] == [
        ("checkout-v1", 90),
        ("checkout-v2", 10),
    ]
    assert config.services["orders"].balancer.name == "least_connections"
    endpoints = config.services["checkout-v2"].endpoints
    assert endpoints is not None
    assert endpoints[0].model_dump() == {
        "url": "http://10.0.0.2:8000",
        "weight": 2,
        "zone": "b",
        "labels": {"version": "v2"},
    }


def test_what_is_left_out_has_defaults() -> None:
    config = loaded("services: {a: {endpoints: ['http://a:1']}}").config

    assert [(each.name, each.bind) for each in config.listeners] == [("web", Bind("127.0.0.1", 8080))]
    assert (str(config.admin.bind), config.admin.token) == ("127.0.0.1:9901", None)
    service = config.services["a"]
    timeouts = service.connect_timeout, service.response_timeout, service.idle_timeout
    assert [str(timeout) for timeout in timeouts] == ["5s", "1m", "1m"]
    assert service.pool.model_dump() == {
        "max_connections": 1024,
        "max_idle": 1024,
        "idle_timeout": 60,
        "max_pending": 1024,
    }


def test_a_short_form_means_the_same_as_the_long_one() -> None:
    short = "match: {host: a.com, methods: GET, headers: {X-A: b}}\n    to: s"
    long = "match: {host: [a.com], methods: [GET], headers: {x-a: {exact: b}}}\n    to: [{service: s, weight: 1}]"
    services = "services: {s: {endpoints: ['http://a']}, t: {endpoints: [{url: 'http://a'}]}}"

    configs = [loaded(f"routes:\n  - {route}\n{services}").config for route in (short, long)]

    assert configs[0].routes == configs[1].routes
    assert configs[0].services["s"] == configs[0].services["t"]


def test_routes_without_a_name_are_numbered() -> None:
    config = loaded("filters: [request_id]\nroutes:\n  - {}\n  - name: a\n  - {}").config

    assert [route.name for route in config.routes] == ["route-0", "a", "route-2"]


def test_a_match_is_compiled_for_the_router() -> None:
    config = loaded("""
        filters: [request_id]
        routes:
          - match:
              host: ["Shop.Example.COM", "*.example.com"]
              path: /users/{id}
              methods: [GET]
              headers: {X-Beta: "1"}
              query: {q: {regex: "a+"}}
              cookies: {s: {present: false}, t: {present: true}}
          - match: {path_regex: "/a|/b"}
        """).config

    first, second = (route.match.compiled() for route in config.routes)

    assert first == Match(
        hosts=("shop.example.com", "*.example.com"),
        path="/users/{id}",
        methods=frozenset({"GET"}),
        headers=(FieldMatch(name="x-beta", exact="1"),),
        query=(FieldMatch(name="q", regex=re.compile("a+")),),
        cookies=(FieldMatch(name="s", present=False), FieldMatch(name="t")),
    )
    assert second.path_regex == re.compile("/a|/b")


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("match: {host: 'a.com:80'}", "match.host: expected a host such as shop.example.com or *.example.com"),
        ("match: {host: 'a.*.com'}", "match.host: expected a host"),
        ("match: {host: 5}", "match.host: expected a host, or a list of such; got 5"),
        ("match: {host: {a: b}}", "match.host: expected a host, or a list of such; got a mapping"),
        ("match: {path: orders}", "match.path: expected a path such as /orders, /orders/* or /users/{id}"),
        ("match: {path: '/a*'}", "match.path: expected a path"),
        ("match: {path: '/*/a'}", "match.path: expected a path"),
        ("match: {path: '/a{b}'}", "match.path: expected a path"),
        ("match: {path: '/{a}/{a}'}", "match.path: expected each name once in a path"),
        ("match: {path: '/a?b'}", "match.path: expected a path"),
        ("match: {path_regex: '('}", "match.path_regex: expected a regular expression (missing )"),
        ("match: {methods: get}", "match.methods: expected a method in capitals, such as GET"),
        (
            "match: {headers: {a: 1}}",
            "match.headers.a: expected a text to compare with, or a mapping with the key exact",
        ),
        ("match: {headers: {a b: c}}", 'match.headers["a b"]: expected a name of letters, digits and hyphens as key'),
        ("match: {cookies: {a: {present: x}}}", 'match.cookies.a.present: expected true or false; got "x"'),
        ("to: 5", "to: expected a service's name, or a list of such; got 5"),
        ("to: [{wait: 5}]", "to[0].wait: expected one of the keys service or weight; got an unknown key"),
        ("to: [5]", "to[0]: expected a service's name, or a mapping with the key service; got 5"),
        ("to: [{service: s, weight: 90%}]", 'to[0].weight: expected a whole number from 0 to 1000000; got "90%"'),
        ("sticky: {cookie: 'a b'}", "sticky.cookie: expected a name of letters"),
    ],
)
def test_a_wrong_route_is_told_in_one_sentence(route: str, problem: str) -> None:
    found = problems(f"filters: [request_id]\nservices: {{s: {{app: 'a:b'}}}}\nroutes:\n  - {route}")

    assert len([line for line in found if f"4: routes[0].{problem}" in line]) == 1


@pytest.mark.parametrize(
    ("service", "problem"),
    [
        ("endpoints: [10.0.0.1]", "endpoints[0]: expected http://host:port, https://host:port or unix:/path"),
        ("endpoints: [{url: 'http://a/b'}]", "endpoints[0].url: expected http://host:port"),
        ("endpoints: ['http://a:99999']", "endpoints[0]: expected http://host:port"),
        ("endpoints: 'http://a'", 'endpoints: expected a list; got "http://a"'),
        ("endpoints: [{weight: 1}]", "endpoints[0].url: expected a value, as this key is required; got nothing"),
        ("endpoints: [5]", "endpoints[0]: expected an endpoint's URL, or a mapping with the key url; got 5"),
        ("app: shop", "app: expected an import path such as shop.api:app"),
        ("connect_timeout: 0s", 'connect_timeout: expected a value above 0s; got "0s"'),
        ("pool: {max_connections: 0}", "pool.max_connections: expected a whole number from 1 to 65535; got 0"),
    ],
)
def test_a_wrong_service_is_told_in_one_sentence(service: str, problem: str) -> None:
    found = problems(f"services:\n  s: {{{service}}}")

    assert len([line for line in found if f"2: services.s.{problem}" in line]) == 1


@pytest.mark.parametrize(
    "text", ["listeners: []", "listeners:", "routes: {}", "services: []", "admin: off", "plugins: ./a.py", "wokers: 2"]
)
def test_a_wrong_section_is_one_problem(text: str) -> None:
    assert len(problems(text)) == 1


def models() -> list[type[BaseModel]]:
    return [
        each
        for each in vars(model).values()
        if isinstance(each, type) and issubclass(each, BaseModel) and each.__module__ == model.__name__
    ]


@pytest.mark.parametrize("each", models())
def test_every_model_is_strict_and_every_field_described(each: type[BaseModel]) -> None:
    assert (each.model_config["extra"], each.model_config["frozen"]) == ("forbid", True)
    assert each.__doc__
    assert [name for name, field in each.model_fields.items() if not field.description] == []


def test_a_configuration_can_be_made_in_python() -> None:
    config = GatewayConfig.model_validate({"filters": [PluginUse("jwt")], "routes": [{"to": "a"}]})

    assert config.filters[0].name == "jwt"
    with pytest.raises(ValidationError):
        config.routes = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("limits", "fits"),
    [
        ("header_size: 4KiB", True),
        ("header_size: 4KiB, target_length: 4KiB", True),
        ("header_size: 4KiB, target_length: 8KiB", False),
        ("target_length: 65KiB", False),
    ],
)
def test_a_target_is_no_longer_than_the_head_it_is_in(limits: str, fits: bool) -> None:
    found = problems(f"listeners: [{{name: a, bind: 'a:1', limits: {{{limits}}}}}]")

    told = "1: listeners[0].limits: expected target_length of header_size at most; got "
    assert [problem.startswith(told) for problem in found] == ([] if fits else [True])
