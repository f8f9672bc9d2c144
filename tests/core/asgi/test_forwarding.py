"""What the first listener says of proxies, Via and paths holds for requests that come by ASGI too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshwright.asgi import GatewayApp
from meshwright_sdk import ConfigDocument
from meshwright_sdk.asgi import Scope
from tests.core.asgi.peer import Peer, http_scope, websocket_scope
from tests.core.http1.test_proxy import Keeping
from tests.core.http1.wire import Message, scripted_upstream

CLAIMS = [(b"x-forwarded-for", b"6.6.6.6, 198.51.100.7"), (b"x-forwarded-proto", b"https")]


def yaml(port: int, options: str = "") -> str:
    return f"""
listeners:
  - {{name: first, bind: "127.0.0.1:0"{options and ", " + options}}}
  - {{name: second, bind: "127.0.0.1:0", trusted_proxies: 192.0.2.0/24, via: second}}
routes: [{{name: all, to: back}}]
services: {{back: {{endpoints: ["http://127.0.0.1:{port}"]}}}}
"""


async def asked(folder: Path, scope: Scope, options: str = "") -> tuple[Message | None, Peer]:
    """Return what the service was asked, and the peer that has the answer."""
    script = Keeping()
    async with scripted_upstream(script) as upstream:
        document = ConfigDocument(text=yaml(upstream.port, options), name="inline", base_dir=folder)
        async with GatewayApp(document) as app:
            peer = Peer({"type": "websocket.connect"})
            await app(scope, peer.receive, peer.send)
    return (script.requests[0] if script.requests else None), peer


def claiming(**changes: Any) -> Scope:
    return http_scope(headers=[(b"host", b"a"), *CLAIMS], **changes)


@pytest.mark.parametrize(
    ("options", "client", "addresses", "scheme"),
    [  # a client that is a text stands for the server's Unix socket, which it came by; one that is gone has no address
        ("", ("192.0.2.1", 40000), "192.0.2.1", "http"),
        ("trusted_proxies: 10.0.0.0/8", ("192.0.2.1", 40000), "192.0.2.1", "http"),
        ("trusted_proxies: 192.0.2.0/24", ("192.0.2.1", 40000), "6.6.6.6, 198.51.100.7, 192.0.2.1", "https"),
        ("trusted_proxies: unix", "/run/web.sock", "6.6.6.6, 198.51.100.7", "https"),
        ("trusted_proxies: unix", None, None, "http"),
        ("trusted_proxies: 192.0.2.0/24", None, None, "http"),
    ],
)
async def test_the_server_tells_the_peer_and_the_first_listener_whom_to_believe(
    options: str, client: tuple[str, int] | str | None, addresses: str | None, scheme: str, tmp_path: Path
) -> None:
    scope = claiming(client=None, server=(client, None)) if isinstance(client, str) else claiming(client=client)
    request, peer = await asked(tmp_path, scope, options)

    assert request is not None
    assert (request.headers.get("x-forwarded-for"), request.headers["x-forwarded-proto"]) == (addresses, scheme)
    assert (peer.status, b"via" in peer.headers) == (200, False)


async def test_via_is_set_both_ways_with_the_versions(tmp_path: Path) -> None:
    request, peer = await asked(tmp_path, claiming(http_version="2"), "via: edge")

    assert request is not None
    assert (request.headers["via"], peer.headers[b"via"]) == ("2 edge", b"1.1 edge")


@pytest.mark.parametrize(
    ("options", "raw", "target"),
    [
        ("", b"//a%2fb", "/a%2Fb"),
        ("path: {merge_slashes: false, encoded_slash: decode}", b"//a%2fb", "//a/b"),
        ("path: {encoded_slash: refuse}", b"//a%2fb", None),
        ("", b"/a%2f..%2fb", None),
    ],
)
async def test_paths_are_normalised_as_the_first_listener_says(
    options: str, raw: bytes, target: str | None, tmp_path: Path
) -> None:
    path = raw.decode().replace("%2f", "/")
    request, peer = await asked(tmp_path, http_scope(path=path, raw_path=raw), options)

    assert (request and request.target) == target
    assert peer.status == (400 if target is None else 200)


async def test_a_websocket_is_a_request_like_any_other(tmp_path: Path) -> None:
    scope = websocket_scope(headers=[(b"host", b"a"), *CLAIMS])
    request, _ = await asked(tmp_path, scope, "trusted_proxies: 192.0.2.1, via: edge")

    assert request is not None
    assert request.headers["x-forwarded-for"] == "6.6.6.6, 198.51.100.7, 192.0.2.1"
    assert (request.headers["x-forwarded-proto"], request.headers["via"]) == ("https", "1.1 edge")


async def test_a_reload_changes_whom_to_believe(tmp_path: Path) -> None:
    script, file = Keeping(), tmp_path / "gateway.yaml"
    async with scripted_upstream(script) as upstream:
        file.write_text(yaml(upstream.port))
        async with GatewayApp(file) as app:
            for options in ("", "trusted_proxies: 192.0.2.1"):
                file.write_text(yaml(upstream.port, options))
                await app.reload()
                peer = Peer()
                await app(claiming(), peer.receive, peer.send)

    assert [each.headers["x-forwarded-proto"] for each in script.requests] == ["http", "https"]
