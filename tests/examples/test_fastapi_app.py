"""examples/fastapi_app, run for real."""

from __future__ import annotations

import httpx
import pytest

from tests.examples.conftest import EXAMPLES, Start

FOLDER = EXAMPLES / "fastapi_app"


@pytest.fixture
def old(serve: Start) -> str:
    return serve("old:app", FOLDER)


def test_the_application_serves_its_own_and_the_gateway_the_rest(serve: Start, old: str) -> None:
    url = serve("app:app", FOLDER, OLD_URL=old)

    own = httpx.get(f"{url}/orders/7", timeout=30)
    through = httpx.get(f"{url}/old/invoices/7", timeout=30)
    nothing = httpx.get(f"{url}/old/nothing", timeout=30)

    assert own.json() == {"order": 7, "from": "the new application"}
    assert through.json() == {
        "invoice": "7",
        "from": "the old application",
        "request_id": through.headers["x-request-id"],
    }
    assert through.headers["deprecation"] == "true"
    assert (nothing.status_code, nothing.json()["code"]) == (404, "no_route")


def test_the_gateway_can_be_served_by_itself(serve: Start, old: str) -> None:
    url = serve("app:gateway", FOLDER, OLD_URL=old)

    assert httpx.get(f"{url}/invoices/7", timeout=30).json()["from"] == "the old application"
