"""Building snapshots: what is carried over, what is closed, and how a part that cannot start is told."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from meshwright.traffic import gateway as gateway_module
from meshwright.traffic import starting
from meshwright.traffic.build import NO_ROUTE
from meshwright.traffic.gateway import Gateway
from meshwright.traffic.snapshot import Snapshot
from meshwright_sdk import ConfigDocument, ConfigError, Endpoint, Response
from meshwright_sdk.testing import make_request
from tests.core.http1.wire import until

PLUGINS = '''
from meshwright_sdk import CallNext, Filter, Options, Request, Response, hookimpl

EVENTS = []

class NotedOptions(Options):
    """Options of `noted`."""
    word: str = "a"
    fails: str = ""
    hangs: bool = False

class Noted(Filter[NotedOptions]):
    """Notes its life, and answers by itself with the number of requests so far."""
    count = 0

    async def start(self):
        EVENTS.append(f"start {self.options.word}")
        if self.options.fails:
            raise OSError(self.options.fails)
        if self.options.hangs:
            import asyncio
            await asyncio.Event().wait()

    async def close(self):
        import asyncio
        await asyncio.sleep(0)
        EVENTS.append(f"close {self.options.word}")

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        self.count += 1
        return Response.text(f"{self.options.word}{self.count}")

@hookimpl
def meshwright_snapshot_built(routes):
    if any(route.name == "forbidden" for route in routes):
        raise ValueError("no route is called forbidden here")
'''


class Bench:
    """A gateway without listeners, and the plugin file it uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "noted.py").write_text(PLUGINS)
        self.gateway = Gateway()
        self.version = 0

    async def prepare(self, routes: str = "", services: str = "") -> Snapshot:
        self.version += 1
        text = "plugins: [./noted.py]\n" + (f"routes:\n{routes}" if routes else "") + services
        document = ConfigDocument(text=text, name="gateway.yaml", base_dir=self.folder)
        return await self.gateway.prepare(document, self.version)

    async def apply(self, routes: str = "", services: str = "") -> None:
        await self.gateway.commit(await self.prepare(routes, services))

    async def ask(self, path: str = "/") -> Response:
        return await self.gateway.handle(make_request(url=path))

    async def text(self, path: str = "/") -> str:
        response = await self.ask(path)
        response.settle()
        return (response.body.data or b"").decode()

    def events(self) -> list[str]:
        """Return what the filters noted; the list goes on being theirs."""
        assert self.gateway.snapshot is not None
        target = self.gateway.snapshot.registry.find("filter", "noted").target
        events: list[str] = sys.modules[target.__module__].EVENTS
        return events


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def route(name: str, options: str) -> str:
    return f"  - {{name: {name}, match: {{path: /{name}}}, filters: [noted: {{{options}}}]}}\n"


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_filter_whose_options_stay_keeps_its_state(bench: Bench) -> None:
    await bench.apply(route("one", "word: a") + route("two", "word: b"))
    assert [await bench.text("/one"), await bench.text("/two")] == ["a1", "b1"]

    await bench.apply(route("two", "word: changed") + route("one", "word: a"))

    assert [await bench.text("/one"), await bench.text("/two")] == ["a2", "changed1"]
    await bench.gateway.close()


async def test_what_is_no_longer_used_is_closed_after_its_last_request(bench: Bench) -> None:
    await bench.apply(route("one", "word: old"))
    running = await bench.ask("/one")

    await bench.apply(route("one", "word: new"))
    await settled()
    assert "close old" not in bench.events()

    running.settle()
    await settled()
    assert "close old" in bench.events()
    events = bench.events()
    await bench.gateway.close()
    assert "close new" in events


async def test_a_part_used_by_two_snapshots_is_not_closed_with_the_first(bench: Bench) -> None:
    await bench.apply(route("one", "word: kept"))
    running = await bench.ask("/one")
    await bench.apply(route("one", "word: kept") + route("two", "word: b"))
    await bench.apply(route("two", "word: b"))
    await settled()
    assert "close kept" not in bench.events()

    running.settle()
    await settled()

    assert "close kept" in bench.events()
    await bench.gateway.close()


async def test_a_part_that_cannot_start_is_told_with_its_line_and_all_are_closed(bench: Bench) -> None:
    await bench.apply(route("one", "word: a"))

    with pytest.raises(ConfigError) as raised:
        await bench.prepare(route("one", "word: a") + route("two", "word: b, fails: no disk") + route("x", "word: c"))

    assert str(raised.value) == (
        "gateway.yaml:4: routes[1].filters[0].noted: expected to be able to start within 30 s; got no disk"
    )
    assert sorted(bench.events()) == ["close b", "close c", "start a", "start b", "start c"]
    assert await bench.text("/one") == "a1"
    await bench.gateway.close()


async def test_a_part_that_hangs_at_its_start_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "START_TIMEOUT_S", 0.02)

    with pytest.raises(ConfigError, match=r"expected to be able to start within 0.02 s; got TimeoutError"):
        await bench.prepare(route("one", "word: a, hangs: true"))


async def test_a_snapshot_that_a_plugin_refuses_is_told_and_closed(bench: Bench) -> None:
    await bench.apply(route("one", "word: a"))

    with pytest.raises(ConfigError, match=r"gateway.yaml:2: routes: expected .* got no route is called forbidden here"):
        await bench.prepare(route("forbidden", "word: b"))

    assert bench.events() == ["start a", "start b", "close b"]
    await bench.gateway.close()


async def test_a_discarded_snapshot_closes_only_what_is_its_own(bench: Bench) -> None:
    await bench.apply(route("one", "word: a"))

    await bench.gateway.discard(await bench.prepare(route("one", "word: a") + route("two", "word: b")))

    assert bench.events() == ["start a", "start b", "close b"]
    await bench.gateway.close()


async def test_filters_of_every_route_see_requests_that_no_route_takes(bench: Bench) -> None:
    await bench.apply(route("one", "word: a") + "filters: [request_id]\n")

    response = await bench.ask("/none")

    assert response.status == 404
    assert response.headers["x-request-id"]
    await bench.gateway.close()


def shop(*endpoints: str, timeout: str = "5s") -> str:
    return f"services: {{shop: {{endpoints: [{', '.join(endpoints)}], connect_timeout: {timeout}}}}}"


async def test_a_service_whose_endpoints_change_keeps_those_that_stay(bench: Bench) -> None:
    def endpoints() -> tuple[Endpoint, ...]:
        assert bench.gateway.snapshot is not None
        return bench.gateway.snapshot.services["shop"].endpoints

    one, two = "{url: 'http://127.0.0.1:1'}", "{url: 'http://127.0.0.1:2'}"
    await bench.apply(services=shop(one, two))
    first, second = endpoints()
    await bench.gateway.discard(await bench.prepare(services=shop(one.replace("}", ", weight: 9}"))))
    assert (endpoints(), first.weight) == ((first, second), 1)

    await bench.apply(services=shop(one.replace("}", ", weight: 9}"), "{url: 'http://127.0.0.1:3'}"))
    assert (endpoints()[0], first.weight) == (first, 9)
    assert [each.url for each in endpoints()] == ["http://127.0.0.1:1", "http://127.0.0.1:3"]

    await bench.apply(services=shop(one, two, timeout="1s"))
    assert first not in endpoints()
    await bench.gateway.close()


async def test_an_application_has_the_response_timeout_of_its_service(bench: Bench) -> None:
    (bench.folder / "slow.py").write_text(
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan':\n"
        "        await receive(); await send({'type': 'lifespan.startup.complete'}); await receive()\n"
        "        await send({'type': 'lifespan.shutdown.complete'}); return\n"
        "    while (await receive())['type'] != 'http.disconnect': pass\n"
    )
    await bench.apply(
        "  - {match: {path: /slow}, to: slow}\nservices:\n  slow: {app: 'slow:app', response_timeout: 20ms}\n"
    )

    response = await bench.ask("/slow")
    response.settle()

    assert response.status == 504
    await bench.gateway.close()


async def test_a_close_in_the_middle_of_a_retirement_leaves_no_part_open(bench: Bench) -> None:
    await bench.apply("".join(route(f"r{n}", f"word: old{n}") for n in range(5)))
    events = bench.events()
    running = await bench.ask("/r0")
    await bench.apply(route("new", "word: new"))

    running.settle()
    for _ in range(1000):
        if any(event.startswith("close old") for event in events):
            break
        await asyncio.sleep(0)
    await bench.gateway.close()

    assert {event for event in events if event.startswith("close")} == {
        "close new",
        *(f"close old{n}" for n in range(5)),
    }


def shown_routes(bench: Bench) -> set[str]:
    """Return the routes of which there are metrics."""
    families = [
        family for name, family in bench.gateway.metrics.families.items() if name.startswith("meshwright_request")
    ]
    assert len(families) == 3
    return {dict(labels)["route"] for family in families for labels in family.metrics}


async def test_metrics_of_a_route_go_with_the_last_version_and_request_that_have_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "LINGER_S", 0.0)
    await bench.apply(route("old", "word: a") + route("kept", "word: b"))
    running = await bench.ask("/old")
    await bench.text("/kept")
    await bench.apply(route("kept", "word: b") + route("new", "word: c"))
    await settled()
    while_it_runs = shown_routes(bench)

    running.settle()
    del running
    await until(lambda: "old" not in shown_routes(bench))

    assert while_it_runs == {"old", "kept", "new", NO_ROUTE}
    assert shown_routes(bench) == {"kept", "new", NO_ROUTE}
    (kept,) = [each for each in bench.gateway.snapshot.routes if each.name == "kept"] if bench.gateway.snapshot else []
    assert kept.counts.classes[1].value == 1


async def test_a_version_that_brings_a_route_back_while_it_goes_counts_on_what_is_shown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "LINGER_S", 0.0)
    await bench.apply(route("old", "word: a"))
    await bench.text("/old")
    await bench.apply(route("new", "word: c"))
    again = await bench.prepare(route("old", "word: a"))
    for _ in range(50):
        await settled()
    await bench.gateway.commit(again)
    await bench.text("/old")

    shown = bench.gateway.metrics.counter("meshwright_requests_total", "", route="old", status_class="2xx")
    assert shown.value >= 1
    assert shown is again.routes[0].counts.classes[1]
