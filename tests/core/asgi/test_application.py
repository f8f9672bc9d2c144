"""The gateway as an application: started by a lifespan, by a request, or by its host; reloaded; closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from meshwright.asgi import GatewayApp
from meshwright.traffic.gateway import Gateway
from meshwright_sdk import ConfigDocument, ConfigError
from tests.core.asgi import apps
from tests.core.asgi.peer import Peer, http_scope, websocket_scope

YAML = """
routes:
  - {name: fixed, match: {path: /fixed}, filters: [{respond: {status: 200, text: one}}]}
  - {name: app, match: {path: "/*"}, to: app}
services:
  app: {app: "tests.core.asgi.apps:app"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(YAML)
    apps.events.clear()
    return file


def write(file: Path, text: str) -> None:
    file.write_text(text)


def client_of(app: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.test")  # type: ignore[arg-type]


async def test_a_lifespan_starts_and_closes_the_gateway(file: Path) -> None:
    app, peer = GatewayApp(file), Peer({"type": "lifespan.startup"})
    task = peer.start(app, {"type": "lifespan"})
    await peer.wait_for("lifespan.startup.complete")
    async with client_of(app) as client:
        answer = await client.get("/hello/x")
    peer.put({"type": "lifespan.shutdown"})
    await task

    assert answer.json() == {"path": "/hello/x", "db": "open", "host": "shop.test"}
    assert (peer.sent[-1]["type"], apps.events) == ("lifespan.shutdown.complete", ["up", "down"])


async def test_a_wrong_file_fails_the_startup_with_every_problem(file: Path) -> None:
    write(file, "routes: [{nme: x}]\nservces: {}\n")
    peer = Peer({"type": "lifespan.startup"})

    await GatewayApp(file)({"type": "lifespan"}, peer.receive, peer.send)

    assert peer.sent[0]["type"] == "lifespan.startup.failed"
    assert all(word in peer.sent[0]["message"] for word in ("gateway.yaml:1", "gateway.yaml:2"))


async def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: expected a file of YAML in UTF-8; got No such file"):
        await GatewayApp(tmp_path / "none.yaml").start()


async def test_without_a_lifespan_the_first_request_starts_it_once(file: Path) -> None:
    app = GatewayApp(str(file))
    async with client_of(app) as client:
        answers = await asyncio.gather(*(client.get("/fixed") for _ in range(5)))
    snapshot = app.gateway.snapshot
    await app.close()

    assert snapshot is not None
    assert snapshot.version == 1
    assert [answer.text for answer in answers] == ["one"] * 5
    assert apps.events == ["up", "down"]


async def test_a_start_that_failed_is_told_once_and_tried_again_by_reload(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = GatewayApp(file)
    write(file, "servces: {}\n")
    async with client_of(app) as client:
        with caplog.at_level(logging.ERROR):
            refused = [await client.get("/fixed"), await client.get("/fixed")]
        write(file, YAML)
        await app.reload()
        answer = await client.get("/fixed")
    await app.close()

    assert [(each.status_code, each.json()["code"]) for each in refused] == [(503, "not_ready")] * 2
    assert (caplog.text.count("the configuration is wrong"), answer.text) == (1, "one")


async def test_a_reload_takes_over_the_new_file(file: Path) -> None:
    async with GatewayApp(file) as app, client_of(app) as client:
        write(file, YAML.replace("text: one", "text: two"))
        await app.reload()
        answer = await client.get("/fixed")

    assert (answer.text, apps.events) == ("two", ["up", "down"])


async def test_a_reload_that_fails_changes_nothing(file: Path) -> None:
    async with GatewayApp(file) as app, client_of(app) as client:
        write(file, "routes: 3")
        with pytest.raises(ConfigError):
            await app.reload()
        answer = await client.get("/fixed")

    assert answer.text == "one"


async def test_a_host_may_mount_it_below_a_prefix_and_own_its_life(file: Path) -> None:
    gateway = GatewayApp(file)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with gateway:
            yield

    host = Starlette(routes=[Mount("/api/v1", app=gateway)], lifespan=lifespan)
    async with lifespan(host), client_of(host) as client:
        answers = [
            await client.get("/api/v1/fixed"),
            await client.get("/api/v1/hello/a%2Fb"),
            await client.get("/fixed"),
        ]

    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert answers[1].json()["path"] == "/hello/a/b"


async def test_a_document_may_take_the_place_of_a_file(tmp_path: Path) -> None:
    async with GatewayApp(ConfigDocument(text=YAML, name="inline", base_dir=tmp_path)) as app, client_of(app) as client:
        assert (await client.get("/fixed")).text == "one"


async def test_a_gateway_that_is_given_stays_its_owners(tmp_path: Path) -> None:
    gateway = Gateway()
    document = ConfigDocument(text=YAML, name="inline", base_dir=tmp_path)
    await gateway.commit(await gateway.prepare(document, 1))

    async with GatewayApp(gateway) as app, client_of(app) as client:
        answer = await client.get("/fixed")
    snapshot = gateway.snapshot
    await gateway.close()

    assert answer.text == "one"
    assert snapshot is not None


async def test_no_route_is_a_404_with_a_code(file: Path) -> None:
    write(file, YAML.replace('path: "/*"', "path: /nowhere"))
    async with GatewayApp(file) as app, client_of(app) as client:
        answer = await client.get("/other")

    assert (answer.status_code, answer.json()["code"]) == (404, "no_route")


async def test_a_websocket_reaches_an_application_behind_the_gateway(file: Path) -> None:
    async with GatewayApp(file) as app:
        peer = Peer({"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hi"})
        task = peer.start(app, websocket_scope("/chat", subprotocols=["chat"]))
        message = await peer.wait_for("websocket.send")
        peer.put({"type": "websocket.receive", "text": "close"})
        await task

    assert (peer.sent[0]["subprotocol"], message["text"]) == ("chat", "/chat ws hi")
    assert peer.sent[-1] == {"type": "websocket.close", "code": 4003, "reason": "as you wish"}


async def test_a_scope_of_another_kind_is_refused(file: Path) -> None:
    peer = Peer()

    with pytest.raises(RuntimeError, match="got 'ftp'"):
        await GatewayApp(file)(http_scope(type="ftp"), peer.receive, peer.send)
