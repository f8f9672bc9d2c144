from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from meshwright_sdk import Identity, Match, Request, Route, Template
from meshwright_sdk.testing import FakeUpstream, make_request


@pytest.fixture
def request_in() -> Request:
    request = make_request(
        "PUT",
        "https://Shop.test/users/7?page=2&page=3",
        headers={"host": "Shop.test:8443", "x-tenant": "acme", "cookie": "seen=yes"},
        client="203.0.113.9",
    )
    request.id = "r-1"
    request.path_params = {"id": "7"}
    request.route = Route("users", Match(path="/users/{id}"), FakeUpstream())
    request.identity = Identity(
        subject="ann", method="jwt", claims={"sub": "ann", "roles": ["a", "b"], "n": 3, "x": {}}
    )
    return request


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{client}", "203.0.113.9"),
        ("<{method} {scheme} {host} {path}?{query}>", "<PUT https shop.test /users/7?page=2&page=3>"),
        ("{url}", "https://Shop.test:8443/users/7?page=2&page=3"),
        ("{route}/{request_id}/{subject}", "users/r-1/ann"),
        ("{param:id}{header:X-Tenant}{cookie:seen}{query:page}", "7acmeyes3"),
        ("{claim:sub} {claim:roles} {claim:n} {claim:x}", "ann a,b 3 {}"),
        ("[{param:none}{header:none}{cookie:none}{query:none}{claim:none}]", "[]"),
        ("100% of {client}, %s", "100% of 203.0.113.9, %s"),
        ("{{client}} is {client}", "{client} is 203.0.113.9"),
        ('{"group":"csp","max_age":1,"e":{"u":"{client}"}}', '{"group":"csp","max_age":1,"e":{"u":"203.0.113.9"}}'),
    ],
)
def test_placeholders_are_filled_in_from_the_request(request_in: Request, text: str, rendered: str) -> None:
    assert Template(text).render(request_in) == rendered


def test_what_the_request_does_not_have_comes_out_empty() -> None:
    request = make_request()
    request.client = None

    assert Template("{client}{route}{request_id}{subject}{claim:sub}").render(request) == ""


def test_a_text_without_placeholders_is_a_constant() -> None:
    assert Template("50% {{x}}").constant == "50% {x}"
    assert Template("{client}").constant is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{clinet}", "did you mean {client}?"),
        ("{heder:x}", "did you mean {header}?"),
        ("{id}", "{param:id}"),
        ("{header}", "expected {header:NAME} in place of {header}"),
        ("{header:x y}", "expected a token"),
    ],
)
def test_a_placeholder_that_does_not_exist_is_refused_with_a_hint(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Template(text)


def test_a_parameter_that_the_route_does_not_have_is_refused() -> None:
    template = Template("{param:user}")

    template.check_params(None)
    template.check_params(Match(path_regex=re.compile("/u/(?P<user>.+)")))
    with pytest.raises(ValueError, match=r"route's path \(\{id\}\) in place of \{user\}; got"):
        template.check_params(Match(path="/users/{id}"))
    with pytest.raises(ValueError, match=r"\(it has none\)"):
        template.check_params(Match())


def test_it_is_an_option_type_written_as_its_text() -> None:
    class Model(BaseModel):
        value: Template = Template("{client}")

    assert Model().model_dump(mode="json") == {"value": "{client}"}
    assert Model.model_json_schema()["properties"]["value"]["type"] == "string"
    assert Model(value=Template("a")).value == Template("a") != Template("b")
    assert "Template('a')" in repr(Model(value=Template("a")))
    with pytest.raises(ValidationError, match="valid string"):
        Model.model_validate({"value": 1})
    with pytest.raises(ValidationError, match="did you mean"):
        Model.model_validate({"value": "{hst}"})


@given(st.text(alphabet=st.characters(exclude_characters="{}")))
def test_text_without_braces_is_left_as_it_is(text: str) -> None:
    assert Template(text).constant == text


@given(st.text(), st.text(alphabet=st.characters(exclude_characters="{}")))
def test_a_value_is_never_read_as_a_template(value: str, around: str) -> None:
    request = make_request()
    request.path_params = {"x": value}

    assert Template(around + "{param:x}").render(request) == around + value
