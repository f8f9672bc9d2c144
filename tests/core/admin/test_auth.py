from __future__ import annotations

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from meshwright.admin.auth import Guard
from meshwright.config import Bind
from meshwright_sdk import Secret

LOOPBACK = Bind("127.0.0.1", 9901)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("let in")(scope, receive, send)


async def ask(
    method: str = "GET",
    path: str = "/api/config",
    *,
    bind: Bind = LOOPBACK,
    token: str | None = None,
    **headers: str,
) -> httpx.Response:
    guard = Guard(application, bind, Secret(token) if token else None)
    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://127.0.0.1:9901") as client:
        return await client.request(method, path, headers=named)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9901", "127.0.0.1:9901", "[::1]:8001", "localhost.:80"])
async def test_a_name_of_this_machine_is_let_in(host: str) -> None:
    assert (await ask(host=host)).text == "let in"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:9901",
        "[::1",
        "",
        "localhost@evil.example",
        "evil@localhost",
        "localhost:x@localhost",
        "localhost/evil.example",
        "localhost evil.example",
        "[::1]evil",
    ],
)
async def test_another_name_for_this_machine_is_refused(host: str) -> None:
    answer = await ask(host=host)

    assert (answer.status_code, answer.json()["code"]) == (403, "host_not_allowed")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_two_host_fields_are_refused_even_when_both_are_good(method: str) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    headers = [(b"host", b"localhost"), (b"host", b"evil.example")]
    scope = {"type": "http", "method": method, "path": "/api/reload", "headers": headers}
    await Guard(application, LOOPBACK, None)(scope, receive, send)

    assert sent[0]["status"] == 403


async def test_the_host_that_the_api_is_bound_to_is_let_in() -> None:
    assert (await ask(bind=Bind("127.0.0.53", 9901), host="127.0.0.53:9901")).text == "let in"


async def test_a_unix_socket_takes_any_host_as_no_browser_can_reach_it() -> None:
    assert (await ask(bind=Bind(path="/run/admin.sock"), host="gateway")).text == "let in"


async def test_the_token_lets_in_whatever_the_host() -> None:
    answer = await ask(token="s3cret", host="gateway.example", authorization="Bearer s3cret")

    assert answer.text == "let in"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer wrong", "Bearer s3cret2", "Basic s3cret", "s3cret", "Bearer s3crét"],
)
async def test_anything_but_the_token_is_refused(authorization: str) -> None:
    answer = await ask(token="s3cret", authorization=authorization)

    assert (answer.status_code, answer.json()["code"]) == (401, "token_required")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "s3cret" not in answer.text


async def test_the_scheme_may_be_in_any_case() -> None:
    assert (await ask(token="s3cret", authorization="bearer s3cret")).text == "let in"


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_probes_need_neither_token_nor_name(path: str) -> None:
    assert (await ask(path=path, token="s3cret", host="10.0.0.7")).text == "let in"
    assert (await ask(path=path, host="10.0.0.7")).text == "let in"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://[::1", "http://localhost:3000", "http://127.0.0.1"]
)
async def test_a_page_of_another_origin_may_change_nothing(origin: str) -> None:
    for token in (None, "s3cret"):
        answer = await ask("POST", "/api/reload", token=token, authorization="Bearer s3cret", origin=origin)

        assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin")


async def test_a_page_of_the_apis_own_may_change_something() -> None:
    assert (await ask("POST", "/api/reload", origin="http://127.0.0.1:9901")).text == "let in"


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
async def test_a_browser_that_tells_no_origin_tells_its_site(site: str, status: int) -> None:
    assert (await ask("POST", "/api/reload", sec_fetch_site=site)).status_code == status


async def test_a_client_that_is_no_browser_may_post_a_form() -> None:
    answer = await ask("POST", "/api/explain", content_type="application/x-www-form-urlencoded")

    assert answer.text == "let in"
