from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from meshwright_plugins.filters.respond import Respond
from meshwright_sdk.testing import FakeUpstream, build, make_request

ANSWERS: list[tuple[dict[str, Any], int, list[tuple[str, str]], bytes]] = [
    ({}, 200, [], b""),
    ({"status": 404}, 404, [], b""),
    ({"text": "grüß"}, 200, [("content-type", "text/plain; charset=utf-8")], "grüß".encode()),
    ({"text": ""}, 200, [("content-type", "text/plain; charset=utf-8")], b""),
    ({"json": {"orders": []}}, 200, [("content-type", "application/json")], b'{"orders":[]}'),
    ({"json": None}, 200, [("content-type", "application/json")], b"null"),
    ({"json": "é"}, 200, [("content-type", "application/json")], b'"\\u00e9"'),
    ({"text": "<p>", "headers": {"Content-Type": "text/html"}}, 200, [("content-type", "text/html")], b"<p>"),
    ({"status": 503, "headers": {"retry-after": "60"}}, 503, [("retry-after", "60")], b""),
    ({"status": 204}, 204, [], b""),
]


@pytest.mark.parametrize(("options", "status", "headers", "content"), ANSWERS)
async def test_the_answer_is_as_configured(
    options: dict[str, Any], status: int, headers: list[tuple[str, str]], content: bytes
) -> None:
    response = await build(Respond, **options)(make_request(), FakeUpstream())

    assert (response.status, response.headers.multi_items(), response.body.data) == (status, headers, content)


async def test_the_upstream_is_never_called() -> None:
    upstream = FakeUpstream()

    await build(Respond)(make_request(), upstream)

    assert upstream.requests == []


async def test_changing_one_answer_leaves_the_next_alone() -> None:
    respond = build(Respond, text="a", headers={"x-a": "1"})

    first = await respond(make_request(), FakeUpstream())
    first.headers["x-a"] = "2"
    first.body = b"b"
    second = await respond(make_request(), FakeUpstream())

    assert (second.headers["x-a"], second.body.data) == ("1", b"a")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "a", "json": {}}, "one of text and json; got both"),
        ({"text": "a", "json": None}, "one of text and json; got both"),
        ({"status": 204, "text": "a"}, "which has no content"),
        ({"status": 304, "json": {}}, "which has no content"),
        ({"status": 101}, "greater than or equal to 200"),
        ({"status": 600}, "less than or equal to 599"),
        ({"status": "200"}, "valid integer"),
        ({"headers": {"content-length": "3"}}, "does not write itself"),
        ({"headers": {"x": "a\r\nb"}}, "control characters"),
        ({"body": "a"}, "not permitted"),
        ({"json_": {}}, "not permitted"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(Respond, **options)


def test_a_number_that_json_does_not_have_is_refused() -> None:
    with pytest.raises(ValidationError, match="numbers that JSON has"):
        build(Respond, json={"x": math.nan})


def test_the_options_are_shown_as_they_are_written() -> None:
    assert Respond.Options.model_validate({"json": [1]}).model_dump(exclude_unset=True) == {"json": [1]}
