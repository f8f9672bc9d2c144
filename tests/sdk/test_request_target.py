from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from meshwright_sdk import Headers, RequestTarget, request_for


@pytest.mark.parametrize("text", ["/", "/healthz", "/a/b?c=d&e=%20f", "/a?b?c"])
def test_a_path_with_or_without_a_query_is_a_target(text: str) -> None:
    assert TypeAdapter(RequestTarget).validate_python(text) == text


@pytest.mark.parametrize("text", ["", "healthz", "http://a/", "/a b", "/a#b", "/a\r\nx: y", "/ä", "*"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="expected a path such as /healthz"):
        TypeAdapter(RequestTarget).validate_python(text)


def test_a_request_is_made_of_it() -> None:
    request = request_for("/a?b?c", Headers({"x-probe": "1"}), method="HEAD")

    assert (request.method, request.path, request.query, request.target) == ("HEAD", "/a", "b?c", "/a?b?c")
    assert request.headers.multi_items() == [("x-probe", "1")]
    assert request.body.data == b""
