from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from meshwright.config import Kind, PluginUse
from meshwright.config.plugin_use import OfKind, UncheckedOptions
from meshwright_sdk import ConfigError, NoOptions
from tests.core.config.samples import Jwt, RateLimit, load, loaded, problems


@pytest.mark.parametrize("use", ["request_id", "{request_id: }", "{request_id: {}}", "{request_id: null}"])
def test_a_plugin_is_used_by_its_name_or_with_options(use: str) -> None:
    config = loaded(f"filters: [{use}]").config

    assert config.filters == (PluginUse("request_id", NoOptions()),)


def test_options_are_an_instance_of_the_plugins_own_model() -> None:
    config = loaded("filters:\n  - rate_limit: {rate: 5/s}\n  - jwt:\n      issuer: a").config

    first, second = (use.options for use in config.filters)
    assert isinstance(first, RateLimit)
    assert (first.rate.per_second, first.burst) == (5, 10)
    assert second == Jwt(issuer="a")


def test_plugins_that_are_left_out_have_defaults() -> None:
    config = loaded("services: {a: {endpoints: ['http://a']}}").config

    assert (config.router.name, config.store.name) == ("table", "memory")
    assert config.services["a"].balancer == PluginUse("weighted_round_robin", NoOptions())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "filters: [rate_limt]",
            'a filter: fallback, jwt, many, rate_limit, request_id, respond or retry; got "rate_limt"',
        ),
        ("filters: [rate_limt]", '(did you mean "rate_limit"?)'),
        ("filters: [table]", 'got "table"'),
        ("router: tabel", 'router: expected a router: table; got "tabel" (did you mean "table"?)'),
        ("store: {disk: {}}", 'store: expected a store: memory or redis; got "disk"'),
        ("services: {a: {discovery: dns}}", 'discovery: expected a discovery: consul; got "dns"'),
        ("filters: [5]", "filters[0]: expected a plugin as `name` or `name: {options}`; got 5"),
        ("filters: [{}]", "filters[0]: expected a plugin as `name` or `name: {options}`; got an empty mapping"),
        ("filters: ['']", 'filters[0]: expected a plugin as `name` or `name: {options}`; got ""'),
        ("filters: [[jwt]]", "filters[0]: expected a plugin as `name` or `name: {options}`; got a list"),
        ("filters: [null]", "filters[0]: expected a plugin as `name` or `name: {options}`; got null"),
        (
            "filters:\n  - rate_limit:\n    rate: 1/s\n    burst: 2",
            "got the keys rate_limit, rate and burst (indent rate and burst further than rate_limit, as its options)",
        ),
        (
            "filters:\n  - jwt: {issuer: a}\n    request_id: {}",
            "got the keys jwt and request_id (one plugin each: in a list, start each with a dash)",
        ),
    ],
)
def test_a_wrong_use_is_one_problem_that_teaches(text: str, problem: str) -> None:
    found = [line for line in problems(text) if "services.a:" not in line]

    assert len(found) == 1
    assert problem in found[0]


def test_a_lookup_error_without_names_is_enough() -> None:
    def options_of(kind: Kind, name: str) -> type[BaseModel] | None:
        raise LookupError(name)

    with pytest.raises(ConfigError, match='filters\\[0\\]: expected a filter; got "a"'):
        load("filters: [a]", "g.yaml", environ={}, options_of=options_of)


def test_a_plugin_that_cannot_be_used_says_why() -> None:
    def options_of(kind: Kind, name: str) -> type[BaseModel] | None:
        if kind == "filter":
            raise ConfigError(["acme.py: expected a class; got None"])
        return None

    with pytest.raises(ConfigError) as caught:
        load("filters: [a]", "g.yaml", environ={}, options_of=options_of)
    assert [str(problem) for problem in caught.value.problems] == [
        "g.yaml:1: filters[0]: expected the filter a to be usable; got acme.py: expected a class; got None"
    ]


def test_without_anybody_to_ask_options_stay_as_they_are() -> None:
    use = TypeAdapter[PluginUse](Annotated[PluginUse, OfKind("filter")])

    unchecked = use.validate_python({"a": {"b": 1}})

    assert unchecked.options == UncheckedOptions.model_validate({"b": 1})
    assert use.dump_python(unchecked) == {"a": {"b": 1}}
    assert use.validate_python(unchecked) == unchecked
    with pytest.raises(ValidationError):
        use.validate_python(5)


def test_a_name_from_a_reference_is_shown_as_it_was_written() -> None:
    (problem,) = problems("filters: ['${TOKEN}']", TOKEN="respons" + "x" * 70)
    (near,) = problems("filters: [\n  request_id,\n  '${TOKEN}']", TOKEN="respons")

    assert problem.endswith('; got "${TOKEN}"')
    assert near.startswith("3: filters[1]: expected a filter: ")
    assert near.endswith('; got "${TOKEN}"')


def test_why_a_plugin_cannot_be_used_shows_no_reference_either() -> None:
    def options_of(kind: Kind, name: str, /) -> None:
        if kind == "filter":
            raise ConfigError([f"a broken {name}"])

    with pytest.raises(ConfigError) as caught:
        load("filters: ['${NAME}']", "g.yaml", environ={"NAME": "hiddenname"}, options_of=options_of)

    assert str(caught.value) == ("g.yaml:1: filters[0]: expected the filter ${NAME} to be usable; got a broken ${NAME}")
