from __future__ import annotations

from typing import Any, Literal

import jsonschema
import pytest
from jsonschema import Draft202012Validator
from pydantic import Field

from meshwright.config import read_document
from meshwright.config.schema import json_schema
from meshwright_sdk import Options
from tests.core.config.samples import OPTIONS, SHOP, Fallback, problems

SCHEMA = json_schema(OPTIONS)


def errors(text: str) -> list[str]:
    data = read_document(text, "g.yaml", environ={}).data
    return [error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(data)]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_configuration_of_the_design_fits() -> None:
    assert errors(SHOP) == []


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "filters: [request_id, {request_id: {}}, {request_id: null}, retry, {respond: {json: [1]}}]",
        "routes: [{to: a}, {to: [a, {service: b, weight: 5}], sticky: {cookie: c}}]",
        "routes: [{match: {headers: {a: b, c: {regex: d}, e: {present: false}}, methods: GET, host: [a, b]}}]",
        "services: {a: {endpoints: ['http://a', {url: 'http://b', weight: 0}]}, b: {app: 'a:b'}, c: {discovery: null}}",
        "router: table\nstore: {memory: {}}\nservices: {a: {balancer: least_connections}}",
        "filters: [many: {wait: 1m30s, size: 1MiB, share: 0.1%, mode: slow, count: 5, answer: {status: 1}, on: true}]",
    ],
)
def test_what_the_gateway_reads_fits(text: str) -> None:
    assert errors(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "filters: [many: {wait: '${A}', size: '${A}', share: '${A}', mode: '${A}', count: '${A}', on: '${A}'}]",
        "filters: [many: {factor: '${A}', low: 'x${A}', answer: '${A}', zones: ['${A}']}]",
        "listeners: [{name: '${A}', bind: '${A}', tls: {certificate: '${A}', key: '${A}'}}]",
        "services: {a: {connect_timeout: '${A}', pool: {max_idle: '${A}'}}}",
        "services: {a: {endpoints: ['${A}', {url: '${A}', weight: '${A}', labels: {a: '${A}'}}]}}",
        "filters: ['${A}']\nrouter: '${A}'\nadmin: {token: '${A}'}",
    ],
)
def test_references_fit_wherever_a_value_does(text: str) -> None:
    assert errors(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "listners: []",
        "listeners: []",
        "listeners: [{name: a, bnd: 'a:1'}]",
        "listeners: [{name: a, bind: 8080}]",
        "filters: [rate_limt]",
        "filters: [rate_limit]",
        "filters: [rate_limit: {rate: 10}]",
        "filters: [rate_limit: {rate: 10/s, bursst: 5}]",
        "filters: [rate_limit: {rate: 10/s, burst: 0}]",
        "filters: [rate_limit: {rate: 10/s, burst: many}]",
        "filters: [{rate_limit: {rate: 1/s}, jwt: {issuer: a}}]",
        "filters: [{}]",
        "filters: [request_id: {a: 1}]",
        "filters: [many: {wait: 10}]",
        "filters: [many: {wait: 0}]",
        "filters: [many: {mode: fats}]",
        "filters: [many: {answer: {stats: 1}}]",
        "router: jwt",
        "store: disk",
        "routes: [{to: 5}]",
        "services: {a: {endpoints: [{weight: 1}]}}",
        "services: {a: {connect_timeout: 10}}",
        "admin: {bind: here}",
    ],
)
def test_what_the_gateway_refuses_does_not_fit(text: str) -> None:
    assert errors(text)
    assert problems(text)


def test_every_property_of_the_gateways_own_is_described() -> None:
    own = {name: each for name, each in SCHEMA["$defs"].items() if name.endswith("Config")}

    for schema in (SCHEMA, *own.values()):
        for name, each in schema["properties"].items():
            assert each.get("description"), name


def test_an_editor_can_show_the_options_of_a_plugin() -> None:
    filters = SCHEMA["$defs"]["filter"]["anyOf"][-1]["properties"]

    burst = filters["rate_limit"]["properties"]["burst"]
    assert burst["description"] == "Requests a key may send at once."
    assert burst["default"] == 10
    assert SCHEMA["properties"]["filters"]["items"] == {"$ref": "#/$defs/filter"}


def test_models_of_two_plugins_with_one_name_do_not_meet() -> None:
    class Respond(Fallback):
        """A model that is called like another."""

    definitions = json_schema({"filter": {"a": Fallback, "b": Respond}})["$defs"]

    assert {"filter.a.Respond", "filter.b.Respond"} <= set(definitions)


class Cat(Options):
    kind: Literal["cat"]
    lives: int


class Dog(Options):
    kind: Literal["dog"]
    lives: int


class Pets(Options):
    pet: Cat | Dog = Field(discriminator="kind")


def test_a_reference_may_decide_which_member_of_a_union_it_is() -> None:
    schema = json_schema({"filter": {"pets": Pets}})

    jsonschema.validate({"filters": [{"pets": {"pet": {"kind": "${A}", "lives": 9}}}]}, schema)


def references(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        return {schema["$ref"]} if "$ref" in schema else set().union(*map(references, schema.values()), set())
    return set().union(*map(references, schema)) if isinstance(schema, list) else set()


def test_every_definition_that_is_referred_to_exists() -> None:
    known = {f"#/$defs/{name}" for name in SCHEMA["$defs"]}

    assert references(SCHEMA) <= known


def test_a_wrong_document_is_refused_by_the_validator_too() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"routs": []}, SCHEMA)
