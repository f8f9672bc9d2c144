from __future__ import annotations

import json
from typing import Any

import pytest

from meshwright_sdk import (
    BodyTooLargeError,
    ClientGoneError,
    ConfigError,
    MeshwrightError,
    NoRouteError,
    PluginError,
    StoreError,
    headers_of,
    problem,
)
from meshwright_sdk.testing import make_request


def content_of(error: BaseException, request_id: str = "") -> dict[str, Any]:
    request = make_request()
    request.id = request_id
    data = problem(error, request).body.data
    content: dict[str, Any] = json.loads(data or b"")
    return content


def test_an_error_becomes_a_problem_document() -> None:
    response = problem(NoRouteError("no route for /x"))

    assert response.status == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert json.loads(response.body.data or b"") == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "code": "no_route",
        "detail": "no route for /x",
    }


def test_the_request_id_is_told() -> None:
    assert content_of(NoRouteError(), "r-1")["request_id"] == "r-1"


def test_an_error_without_detail_has_no_such_member() -> None:
    assert "detail" not in content_of(BodyTooLargeError())


def test_status_and_code_are_the_errors_own() -> None:
    content = content_of(MeshwrightError("quota is used up", status=402, code="quota"))

    assert (content["status"], content["title"], content["code"]) == (402, "Payment Required", "quota")
    assert content["detail"] == "quota is used up"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyError("password"), 500),
        (PluginError("password"), 500),
        (ConfigError(["password"]), 500),
        (StoreError("password"), 503),
    ],
)
def test_what_the_gateways_own_side_did_wrong_is_not_told(error: Exception, status: int) -> None:
    response = problem(error)

    assert response.status == status
    assert b"password" not in (response.body.data or b"")


def test_an_unknown_exception_is_internal() -> None:
    assert content_of(ZeroDivisionError("x")) == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "code": "internal",
    }


@pytest.mark.parametrize(
    ("error", "title"),
    [
        (ClientGoneError(), "Client Gone"),
        (BodyTooLargeError(), "Content Too Large"),
        (MeshwrightError(status=599), "Error"),
    ],
)
def test_every_status_has_a_title(error: MeshwrightError, title: str) -> None:
    assert content_of(error)["title"] == title


def test_headers_of_an_error_reach_the_answer() -> None:
    error = MeshwrightError(status=401, headers={"www-authenticate": "Bearer"})
    headers_of(error).add("www-authenticate", "Basic")

    assert problem(error).headers.getlist("www-authenticate") == ["Bearer", "Basic"]


def test_headers_can_be_put_on_any_exception() -> None:
    error = ValueError()
    headers_of(error)["x-request-id"] = "r-1"

    assert problem(error).headers["x-request-id"] == "r-1"


def test_errors_do_not_share_headers() -> None:
    headers_of(NoRouteError())["x-a"] = "1"

    assert "x-a" not in problem(NoRouteError()).headers


def test_the_documents_own_headers_cannot_be_replaced() -> None:
    error = MeshwrightError(headers={"content-type": "text/html", "cache-control": "public", "content-encoding": "br"})
    response = problem(error)

    assert response.headers.multi_items() == [
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
    ]
