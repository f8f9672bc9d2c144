from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from meshwright_sdk import HeaderFields, Headers, add_member
from meshwright_sdk.fields import CONNECTION_FIELDS, settable_name


class Model(BaseModel):
    headers: HeaderFields


def test_names_are_lowered_and_values_stripped() -> None:
    assert Model(headers={"X-Tenant": " acme "}).headers == {"x-tenant": "acme"}


@pytest.mark.parametrize("name", sorted(CONNECTION_FIELDS))
def test_a_field_of_the_connection_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="does not write itself"):
        settable_name(name.title())


@pytest.mark.parametrize("name", ["", "x y", ":path", "x:", "é", "x\r\n"])
def test_what_is_no_header_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a header name"):
        settable_name(name)


@pytest.mark.parametrize("value", ["a\r\nb", "\x00", "€"])
def test_a_value_that_no_header_can_carry_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="control characters"):
        Model(headers={"x": value})


def test_a_name_in_two_spellings_is_refused() -> None:
    with pytest.raises(ValidationError, match="each header once; got 'X-A' and 'x-a'"):
        Model(headers={"X-A": "1", "x-a": "2"})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], ["origin"]),
        (["Accept"], ["Accept, origin"]),
        (["Accept, Origin"], ["Accept, Origin"]),
        (["accept", "origin"], ["accept", "origin"]),
        (["a", "b"], ["a, b, origin"]),
        ([""], ["origin"]),
        (["x-origin"], ["x-origin, origin"]),
    ],
)
def test_a_member_is_in_the_list_once(before: list[str], after: list[str]) -> None:
    headers = Headers([("vary", value) for value in before])

    add_member(headers, b"vary", b"origin")

    assert headers.getlist("vary") == after
