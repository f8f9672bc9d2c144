from __future__ import annotations

from collections import Counter

import pytest

from meshwright.traffic.split import Split, Target
from meshwright_sdk import Request, Response
from meshwright_sdk.testing import make_request


class Named:
    """A service that answers with its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, request: Request) -> Response:
        return Response.text(self.name)


def split(weights: dict[str, int], *, cookie: str = "", header: str = "") -> Split:
    targets = [Target(service=name, weight=weight, call=Named(name)) for name, weight in weights.items()]
    return Split(targets, cookie=cookie, header=header)


async def ask(split: Split, **headers: str) -> Response:
    return await split(make_request(headers=headers))


async def name(split: Split, **headers: str) -> str:
    data = (await ask(split, **headers)).body.data
    assert data is not None
    return data.decode()


async def test_each_service_gets_its_exact_share() -> None:
    shares = split({"stable": 9, "canary": 1})
    for _ in range(3):
        assert Counter([await name(shares) for _ in range(10)]) == {"stable": 9, "canary": 1}


async def test_a_weight_of_0_gets_nothing_unless_all_have_it() -> None:
    assert {await name(split({"a": 1, "b": 0})) for _ in range(20)} == {"a"}
    both = split({"a": 0, "b": 0})
    assert {await name(both) for _ in range(4)} == {"a", "b"}


async def test_a_cookie_keeps_a_client_where_it_was_first() -> None:
    sticky = split({"a": 1, "b": 1}, cookie="release")
    first = await ask(sticky)
    assert first.headers["set-cookie"] == "release=a; Path=/; HttpOnly; SameSite=Lax"
    for _ in range(5):
        again = await ask(sticky, cookie="x=y; release=a")
        assert (again.body.data, "set-cookie" in again.headers) == (b"a", False)


@pytest.mark.parametrize("value", ["", "gone", "b"])
async def test_a_cookie_of_a_service_without_traffic_is_replaced(value: str) -> None:
    answer = await ask(split({"a": 1, "b": 0}, cookie="release"), cookie=f"release={value}")
    assert (answer.body.data, answer.headers["set-cookie"][:9]) == (b"a", "release=a")


async def test_equal_values_of_a_header_go_to_the_same_service_and_many_in_proportion() -> None:
    sticky = split({"a": 3, "b": 1}, header="X-Client")
    places = {value: await name(sticky, **{"x-client": value}) for value in map(str, range(2000))}
    assert [await name(sticky, **{"x-client": value}) for value in places] == list(places.values())
    assert 0.7 < Counter(places.values())["a"] / 2000 < 0.8


async def test_without_the_header_the_turn_decides() -> None:
    sticky = split({"a": 1, "b": 1}, header="x-client")
    assert [await name(sticky) for _ in range(4)] == ["a", "b", "a", "b"]


async def test_a_header_decides_among_equals_when_all_weights_are_0() -> None:
    sticky = split({"a": 0, "b": 0}, header="x-client")
    assert {await name(sticky, **{"x-client": str(value)}) for value in range(50)} == {"a", "b"}
