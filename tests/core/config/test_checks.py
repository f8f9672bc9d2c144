from __future__ import annotations

import pytest

from tests.core.config.samples import problems

SERVICES = "services: {a: {app: 'a:b'}, b: {app: 'a:b'}}"


@pytest.mark.parametrize("section", ["listeners", "routes"])
def test_a_name_is_used_once(section: str) -> None:
    use = "bind: 'unix:/{}', " if section == "listeners" else "to: a, "
    items = "".join(f"  - {{{use.format(number)}name: x}}\n" for number in range(3))

    assert problems(f"{SERVICES}\n{section}:\n{items}") == [
        f'{line}: {section}[{line - 3}].name: expected a name that no other has; got "x" (the first one is in line 3)'
        for line in (4, 5)
    ]


@pytest.mark.parametrize(
    ("bind", "mode", "right"), [("unix:/a", "'0660'", 1), ("unix:/a", "0660", 0), ("a:1", "'0660'", 0)]
)
def test_permissions_are_for_unix_sockets_and_written_as_a_text(bind: str, mode: str, right: int) -> None:
    found = problems(f"listeners: [{{name: x, bind: '{bind}', mode: {mode}}}]")

    assert len(found) == 1 - right


def test_an_endpoint_is_named_once_however_it_is_written() -> None:
    found = problems("""
        services:
          a:
            endpoints:
              - http://h
              - "http://H:80/"
              - {url: "${URL}", weight: 3}
              - https://h
          b: {endpoints: ["http://h"]}
        """, URL="http://h:80")  # fmt: skip

    expected = "expected an endpoint that the service has once; got"
    hint = "(the first one is in line 4; for more traffic give it a weight)"
    assert found == [
        f'5: services.a.endpoints[1]: {expected} "http://H:80/" {hint}',
        f'6: services.a.endpoints[2].url: {expected} "${{URL}}" {hint}',
    ]


def test_endpoints_that_are_none_are_told_once() -> None:
    assert len(problems("services: {a: {endpoints: [x, x, 1, {}]}}")) == 4


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        ("a:80", "a:80", True),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("unix:/x", "unix:/x", True),
        ("a:80", "a:81", False),
        ("a:0", "a:0", False),
        ("a:80", "127.0.0.1:9901", True),
    ],
)
def test_an_address_is_bound_once(first: str, second: str, taken: bool) -> None:
    found = problems(f"listeners:\n  - {{name: x, bind: '{first}'}}\n  - {{name: y, bind: '{second}'}}")

    assert bool(found) is taken
    if taken:
        other = "admin" if "9901" in second else "listeners[0]"
        expected = (
            f'3: listeners[1].bind: expected an address that nothing else takes; got "{second}" (see {other}.bind)'
        )
        assert found == [expected]


@pytest.mark.parametrize(
    ("admin", "guarded"),
    [
        ("bind: '127.0.0.1:1'", True),
        ("bind: '[::1]:1'", True),
        ("bind: 'unix:/x'", True),
        ("bind: '0.0.0.0:1', token: abc", True),
        ("token: abc", True),
        ("bind: '0.0.0.0:1'", False),
        ("bind: '10.0.0.1:1'", False),
        ("bind: '0.0.0.0:1', token: ''", False),
        ("bind: '0.0.0.0:1', token: '${NONE:-}'", False),
    ],
)
def test_the_admin_api_needs_a_token_where_others_can_reach_it(admin: str, guarded: bool) -> None:
    found = problems(f"admin: {{{admin}}}")

    assert ["expected a token where others can reach the admin API" in problem for problem in found] == [True] * (
        not guarded
    )


def test_a_route_leads_to_a_service_that_there_is() -> None:
    text = f"{SERVICES}\nroutes:\n  - to: c\n  - to: [a, c]\n  - to: [{{service: aa}}, b]\n  - to: a\n"

    assert problems(text) == [
        '3: routes[0].to: expected one of the services a or b; got "c"',
        '4: routes[1].to[1]: expected one of the services a or b; got "c"',
        '5: routes[2].to[0].service: expected one of the services a or b; got "aa" (did you mean "a"?)',
    ]


def test_a_route_without_any_service_to_choose_from_says_so() -> None:
    assert problems("routes: [{to: a}]") == ['1: routes[0].to: expected a service, and there is none; got "a"']


def test_a_route_goes_to_a_service_or_has_a_filter() -> None:
    assert problems("routes:\n  - {}\n  - filters: [respond]") == [
        "2: routes[0]: expected a service in `to`, or a filter that answers; got neither"
    ]
    assert problems("filters: [respond]\nroutes:\n  - {}") == []


def test_weights_leave_a_service_to_go_to() -> None:
    weights = "[{service: a, weight: 0}, {service: b, weight: %d}]"

    assert problems(f"{SERVICES}\nroutes:\n  - to: {weights % 1}") == []
    assert problems(f"{SERVICES}\nroutes:\n  - to: {weights % 0}") == [
        "3: routes[0].to: expected a weight above 0; got only weights of 0"
    ]


@pytest.mark.parametrize(("to", "wrong"), [("a", True), ("[a]", True), ("[a, b]", False)])
def test_sticky_needs_several_services(to: str, wrong: bool) -> None:
    found = problems(f"{SERVICES}\nroutes:\n  - {{to: {to}, sticky: {{cookie: c}}}}")

    assert found == ["3: routes[0].sticky: expected several services in `to`; got one or none"] * wrong


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("services: {a: {}}", "services.a: expected exactly one of endpoints, discovery or app; got none of them"),
        (
            "services: {a: {app: 'a:b', endpoints: [], connect_timeout: 10}}",
            "services.a: expected exactly one of endpoints, discovery or app; got endpoints and app",
        ),
        (
            "routes: [{filters: [respond], match: {path: /, path_regex: /}}]",
            "routes[0].match: expected path or path_regex; got both",
        ),
        (
            "routes: [{filters: [respond], match: {query: {q: {exact: a, regex: b}}}}]",
            "routes[0].match.query.q: expected exactly one of exact, regex or present; got exact and regex",
        ),
        (
            "routes: [{filters: [respond], match: {headers: {q: {}}}}]",
            "routes[0].match.headers.q: expected exactly one of exact, regex or present; got none of them",
        ),
        (
            SERVICES + "\nroutes: [{to: [a, b], sticky: {cookie: a, header: b}}]",
            "routes[0].sticky: expected exactly one of cookie or header; got cookie and header",
        ),
    ],
)
def test_alternatives_exclude_each_other(text: str, problem: str) -> None:
    assert len([line for line in problems(text) if line.endswith(problem)]) == 1


@pytest.mark.parametrize("section", ["listeners", "admin", "routes", "services", "filters"])
@pytest.mark.parametrize("wrong", ["5", "x", "[5]", "[[]]", "{a: 5}", "{a: [5]}", "null"])
def test_values_of_a_wrong_type_are_left_to_the_models(section: str, wrong: str) -> None:
    assert len(problems(f"{section}: {wrong}")) == 1


def test_rules_are_told_beside_errors_of_the_models() -> None:
    found = problems("routes: [{to: {a: b}, match: 5, sticky: 5, name: x}, {to: nobody, name: x}]")

    assert len(found) == 6
