from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from pydantic import ValidationError

from meshwright_plugins.filters.request_id import RequestId
from meshwright_sdk import CallNext, NoRouteError, Request, Response, problem
from meshwright_sdk.testing import FakeUpstream, build, make_request


async def test_upstream_and_client_see_the_same_id() -> None:
    upstream = FakeUpstream()
    request = make_request()

    response = await build(RequestId)(request, upstream)

    assert re.fullmatch("[0-9a-f]{32}", request.id)
    assert upstream.requests[0].headers.getlist("x-request-id") == [request.id]
    assert response.headers.getlist("x-request-id") == [request.id]


async def test_each_request_has_its_own_id() -> None:
    request_id, upstream = build(RequestId), FakeUpstream()

    for _ in range(2000):
        await request_id(make_request(), upstream)

    assert len({request.id for request in upstream.requests}) == 2000


FORK = """
import asyncio, os
from meshwright_plugins.filters.request_id import RequestId
from meshwright_sdk.testing import FakeUpstream, build, make_request

def new_id():
    request = make_request()
    asyncio.run(build(RequestId)(request, FakeUpstream()))
    return request.id

new_id()
child = os.fork()
if child:
    os.waitpid(child, 0)
print(new_id(), flush=True)
"""


def test_a_forked_worker_hands_out_other_ids() -> None:
    run = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True, timeout=30)

    ids = run.stdout.split()
    assert len(ids) == len(set(ids)) == 2


async def test_an_id_from_outside_is_replaced() -> None:
    request = make_request(headers=[("x-request-id", "mine"), ("x-request-id", "mine too")])

    await build(RequestId)(request, FakeUpstream())

    assert request.headers.getlist("x-request-id") == [request.id]
    assert request.id != "mine"


@pytest.mark.parametrize("sent", ["a", "0" * 128, "4bf92f35-77b3:A/b_c.~+=@"])
async def test_a_trusted_id_is_kept(sent: str) -> None:
    request = make_request(headers={"x-request-id": sent})

    response = await build(RequestId, trust=True)(request, FakeUpstream())

    assert request.id == response.headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "0" * 129, "a b", "a\tb", "<script>", '"', "é", "a,b"])
async def test_an_id_that_is_not_well_formed_is_not_trusted(sent: str) -> None:
    request = make_request(headers={"x-request-id": sent})

    await build(RequestId, trust=True)(request, FakeUpstream())

    assert len(request.id) == 32


async def test_the_id_stands_in_another_header() -> None:
    upstream = FakeUpstream()

    response = await build(RequestId, header="X-Correlation-ID")(make_request(), upstream)

    assert response.headers["x-correlation-id"] == upstream.requests[0].headers["x-correlation-id"]
    assert "x-request-id" not in response.headers


async def test_the_response_can_go_without_it() -> None:
    upstream = FakeUpstream()

    response = await build(RequestId, response=False)(make_request(), upstream)

    assert "x-request-id" not in response.headers
    assert "x-request-id" in upstream.requests[0].headers


async def test_a_second_use_on_the_route_keeps_the_id_of_the_first() -> None:
    outer, inner = build(RequestId), build(RequestId, header="x-trace")

    async def call_inner(request: Request) -> Response:
        return await inner(request, FakeUpstream())

    chain: CallNext = call_inner
    response = await outer(make_request(), chain)

    assert response.headers["x-request-id"] == response.headers["x-trace"]


@pytest.mark.parametrize("error", [NoRouteError(), ZeroDivisionError()])
async def test_an_error_is_answered_with_the_id(error: Exception) -> None:
    request = make_request()

    with pytest.raises(type(error)) as raised:
        await build(RequestId)(request, FakeUpstream(error))

    response = problem(raised.value, request)
    assert response.headers["x-request-id"] == request.id
    assert json.loads(response.body.data or b"")["request_id"] == request.id


@pytest.mark.parametrize("header", ["connection", "x y", ""])
def test_a_header_that_cannot_carry_it_is_refused(header: str) -> None:
    with pytest.raises(ValidationError, match="expected a header"):
        build(RequestId, header=header)
