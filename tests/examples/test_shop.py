"""examples/shop, run for real: five services and a gateway as processes."""

from __future__ import annotations

from collections import Counter

import httpx
import pytest

from tests.examples.conftest import EXAMPLES, Start

FOLDER = EXAMPLES / "shop"


@pytest.fixture
def url(serve: Start, run_gateway: Start) -> str:
    return run_gateway(
        FOLDER / "gateway.yaml",
        ORDER_V1_URL=serve("services:order", FOLDER),
        ORDER_V2_URL=serve("services:order_v2", FOLDER),
        PAYMENT_1_URL=serve("services:payment", FOLDER, INSTANCE="1"),
        PAYMENT_2_URL=serve("services:payment", FOLDER, INSTANCE="2"),
        LOGISTICS_URL=serve("services:logistics", FOLDER),
    )


def test_the_shop_does_what_its_readme_says(url: str) -> None:
    with httpx.Client(base_url=url, timeout=30) as shop:
        beta = shop.get("/orders/7", headers={"x-beta": "1"})
        first = shop.get("/orders/7")
        version = first.cookies["shop-version"].removeprefix("order-")
        again = {shop.get("/orders/8").json()["version"] for _ in range(12)}
        shop.cookies.clear()
        versions = Counter(_fresh(url) for _ in range(20))
        paid = Counter(shop.post("/payments").json()["instance"] for _ in range(30))
        taken = shop.post("/orders", json={"item": "tea"})
        tracked = shop.get("/track/7")
        home = shop.get("/")
        refused = shop.get("/payments")

    assert beta.json() == {"order": "7", "version": "v2"}
    assert first.headers["x-answered-by"].startswith("http://127.0.0.1:")
    assert len(first.headers["x-request-id"]) == 32
    assert again == {version}
    assert versions == {"v1": 18, "v2": 2}
    assert paid == {"1": 20, "2": 10}
    assert (taken.status_code, taken.json()["taken"]) == (201, {"item": "tea"})
    assert tracked.text == "data: warehouse\n\ndata: harbour\n\ndata: your door\n\n"
    assert (home.status_code, home.headers["location"]) == (307, "/orders/1")
    assert (refused.status_code, refused.json()["code"]) == (404, "no_route")


def _fresh(url: str) -> str:
    """Return the version that a client gets who was never here."""
    version: str = httpx.get(f"{url}/orders/7", timeout=30).json()["version"]
    return version
