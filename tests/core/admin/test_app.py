from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from meshwright.admin.app import admin_app
from meshwright.processes.control import Control
from meshwright.processes.fleet import Fleet
from meshwright.processes.reading import check
from meshwright_sdk import ConfigError
from meshwright_sdk.testing import ManualClock
from tests.core.processes.fake_worker import YAML, FakeSource, FakeWorker, document

WITH_SECRETS = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
admin: {bind: "127.0.0.1:0", token: t0ps3cret}
filters:
  - headers: {response: {set: {x-gateway: "1"}}}
routes:
  - name: orders
    match: {host: shop.example, path: "/orders/*"}
    filters: [request_id]
    to: orders
services:
  orders: {endpoints: ["http://127.0.0.1:9"]}
"""
HOOKS = """\
from meshwright_sdk import hookimpl
from starlette.responses import PlainTextResponse
from starlette.routing import Route

@hookimpl
def meshwright_admin_routes():
    return ROUTES
"""


async def started(*workers: FakeWorker, source: FakeSource | None = None, within_s: float = 10.0) -> Control:
    fleet = Fleet(answer_s=within_s)
    control = Control(source or FakeSource(), check, fleet, clock=ManualClock(), acknowledge_s=within_s)
    await control.start()
    await control.admit(workers or [FakeWorker()])
    return control


def client_of(control: Control, *, token: str = "t0ps3cret") -> httpx.AsyncClient:
    assert control.applied is not None
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(admin_app(control, control.applied.config), raise_app_exceptions=False),
        base_url="http://127.0.0.1:9901",
        headers={"authorization": f"Bearer {token}"},
    )


async def test_livez_says_that_the_process_runs() -> None:
    control = Control(FakeSource(), check, Fleet())
    await control.start()

    async with client_of(control) as client:
        assert (await client.get("/livez")).status_code == 200


async def test_readyz_follows_the_start_and_the_drain() -> None:
    control = Control(FakeSource(), check, Fleet())
    await control.start()

    async with client_of(control) as client:
        starting = await client.get("/readyz")
        await control.admit([FakeWorker()])
        running = await client.get("/readyz")
        control.draining = True
        draining = await client.get("/readyz")

    assert [each.status_code for each in (starting, running, draining)] == [503, 200, 503]
    assert [each.text for each in (starting, draining)] == ["starting\n", "draining\n"]


async def test_config_shows_what_is_in_use_and_who_runs_it_without_secrets() -> None:
    control = await started(FakeWorker("0"), FakeWorker("1"), source=FakeSource(WITH_SECRETS))

    async with client_of(control) as client:
        answer = await client.get("/api/config")

    shown = answer.json()
    assert "t0ps3cret" not in answer.text
    assert shown["config"]["admin"]["token"] == "***"
    assert (shown["version"], shown["source"], shown["last_rejected"]) == (1, "gateway.yaml", None)
    assert shown["applied_at"] == "2023-11-14T22:13:20.000+00:00"
    assert [(each["worker"], each["pid"], each["version"]) for each in shown["workers"]] == [
        ("0", 1000, 1),
        ("1", 1001, 1),
    ]


async def test_config_shows_why_the_last_one_was_rejected() -> None:
    source = FakeSource()
    control = await started(source=source)
    source.text = YAML.replace("to: orders", "to: ordres")

    async with client_of(control) as client:
        await client.post("/api/reload")
        rejected = (await client.get("/api/config")).json()["last_rejected"]

    assert (rejected["version"], rejected["at"]) == (2, "2023-11-14T22:13:20.000+00:00")
    (problem,) = rejected["problems"]
    assert (problem["file"], problem["line"], problem["path"]) == ("gateway.yaml", 4, "routes[0].to")
    assert problem["message"].startswith("gateway.yaml:4: routes[0].to: expected")


async def test_routes_show_the_filters_of_every_route_before_their_own() -> None:
    control = await started(source=FakeSource(WITH_SECRETS))

    async with client_of(control) as client:
        (route,) = (await client.get("/api/routes")).json()["routes"]

    assert route["name"] == "orders"
    assert route["match"] == {"host": ["shop.example"], "path": "/orders/*"} | route["match"]
    assert [next(iter(each)) for each in route["filters"]] == ["headers", "request_id"]
    assert route["to"] == [{"service": "orders", "weight": 1}]


async def test_services_are_added_up_over_the_workers() -> None:
    workers = FakeWorker("0"), FakeWorker("1")
    for worker in workers:
        worker.services = [{"name": "orders", "endpoints": [{"url": "http://127.0.0.1:9", "in_flight": 2}]}]

    async with client_of(await started(*workers)) as client:
        (service,) = (await client.get("/api/services")).json()["services"]

    assert service["endpoints"][0]["in_flight"] == 4


async def test_services_show_addresses_and_nothing_else_that_references_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "hidden-key")
    monkeypatch.setenv("PORT", "8001")
    written = '{url: "http://127.0.0.1:${PORT}", zone: "${KEY}", labels: {a: "x ${KEY}"}}'
    worker = FakeWorker("0")
    endpoint = {"url": "http://127.0.0.1:8001", "zone": "hidden-key", "labels": {"a": "x hidden-key"}}
    worker.services = [{"name": "orders", "endpoints": [endpoint]}]

    async with client_of(
        await started(worker, source=FakeSource(f"services: {{orders: {{endpoints: [{written}]}}}}"))
    ) as client:
        answer = await client.get("/api/services")

    (shown,) = answer.json()["services"][0]["endpoints"]
    assert (shown["url"], shown["zone"], shown["labels"]) == ("http://127.0.0.1:8001", "${KEY}", {"a": "x ${KEY}"})
    assert "hidden-key" not in answer.text


async def test_plugins_show_where_they_come_from_and_what_options_they_take() -> None:
    async with client_of(await started()) as client:
        plugins = (await client.get("/api/plugins")).json()["plugins"]

    found = {(each["kind"], each["name"]): each for each in plugins}
    balancer = found["balancer", "weighted_round_robin"]
    assert balancer["origin"] == "built in"
    assert balancer["summary"]
    assert balancer["options"]["additionalProperties"] is False


async def test_metrics_are_a_page_that_prometheus_reads() -> None:
    workers = FakeWorker("0"), FakeWorker("1")
    for worker in workers:
        worker.counts.counter("meshwright_requests_total", "Requests.", route='a "b"\n\\c').value = 2

    async with client_of(await started(*workers)) as client:
        answer = await client.get("/metrics")

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    (sample,) = families["meshwright_requests"].samples
    assert (sample.labels, sample.value) == ({"route": 'a "b"\n\\c'}, 4)


async def test_reload_answers_with_the_version_in_use() -> None:
    async with client_of(await started()) as client:
        answer = await client.post("/api/reload")

    assert (answer.status_code, answer.json()) == (200, {"result": "applied", "version": 2})


async def test_a_rejected_reload_answers_with_every_problem() -> None:
    source = FakeSource()
    control = await started(source=source)
    source.text = YAML.replace("to: orders", "to: ordres").replace("http://", "ftp://")

    async with client_of(control) as client:
        answer = await client.post("/api/reload")

    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert (problem["code"], problem["version"]) == ("configuration", 1)
    assert [each["line"] for each in problem["problems"]] == [4, 6]


@pytest.mark.parametrize("headers", [{"x-a": "1"}, [["x-a", "1"]]])
async def test_explain_asks_a_worker(headers: Any) -> None:
    worker = FakeWorker()

    async with client_of(await started(worker)) as client:
        answer = await client.post("/api/explain", json={"method": "PUT", "url": "/orders/1", "headers": headers})

    assert (answer.status_code, answer.json()) == (200, {"route": "orders"})
    assert worker.explained == [("PUT", "/orders/1", [("x-a", "1")])]


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"", 422, "body"),
        (b"[]", 422, "body"),
        (b'{"method": "GET"}', 422, "url"),
        (b'{"url": "/", "metod": "GET"}', 422, "metod"),
        (b'{"url": "/", "method": "G T"}', 422, "method"),
        (b'{"url": "/", "headers": {"a": 1}}', 422, "headers"),
        (json.dumps({"url": "/" + "x" * 300_000}).encode(), 413, "body"),
        (json.dumps({"url": "/" + "x" * 65_536}).encode(), 413, "url"),
        (json.dumps({"url": "/", "headers": {"a": "x" * 65_536}}).encode(), 413, "headers"),
    ],
)
async def test_explain_refuses_what_is_no_question(body: bytes, status: int, named: str) -> None:
    async with client_of(await started()) as client:
        answer = await client.post("/api/explain", content=body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.text


async def test_explain_tells_what_the_worker_refuses() -> None:
    worker = FakeWorker()
    worker.failure["explain"] = ValueError("url: expected http://host/path or just /path; got 'ftp://x'")

    async with client_of(await started(worker)) as client:
        answer = await client.post("/api/explain", json={"url": "ftp://x"})

    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "url: expected http://host/path or just /path; got 'ftp://x'",
    )


async def test_a_reload_that_fails_for_another_reason_than_the_configuration_says_so() -> None:
    worker = FakeWorker()
    control = await started(worker, within_s=0.05)
    async with client_of(control) as client:
        worker.hangs.add("prepare")
        silent = await client.post("/api/reload")
        control.draining = True
        draining = await client.post("/api/reload")

    assert [(each.status_code, each.json()["code"]) for each in (silent, draining)] == [
        (503, "worker_lost"),
        (503, "draining"),
    ]


@pytest.mark.parametrize("failure", [{}, {"explain": ConnectionResetError()}])
async def test_explain_without_a_worker_says_so(failure: dict[str, BaseException]) -> None:
    worker = FakeWorker()
    control = await started(worker)
    worker.failure = failure
    if not failure:
        control.fleet.leave(worker)

    async with client_of(control) as client:
        answer = await client.post("/api/explain", json={"url": "/"})

    assert (answer.status_code, answer.json()["code"]) == (503, "no_worker")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/api/reload", 405, "method_not_allowed"),
        ("DELETE", "/api/config", 405, "method_not_allowed"),
    ],
)
async def test_what_there_is_not_is_a_problem_document(method: str, path: str, status: int, code: str) -> None:
    async with client_of(await started()) as client:
        answer = await client.request(method, path)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("allow" in answer.headers) == (status == 405)


async def test_a_plugins_routes_are_found_below_its_name(tmp_path: Path) -> None:
    control = await started_with_plugin(tmp_path, "[Route('/hello', lambda request: PlainTextResponse('hi'))]")

    async with client_of(control) as client:
        assert (await client.get("/api/plugins/extra/hello")).text == "hi"


async def test_a_plugins_route_that_fails_is_a_problem_without_a_traceback(tmp_path: Path) -> None:
    control = await started_with_plugin(tmp_path, "[Route('/hello', lambda request: 1 / 0)]")

    async with client_of(control) as client:
        answer = await client.get("/api/plugins/extra/hello")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "ZeroDivision" not in answer.text


async def test_a_plugin_that_cannot_tell_its_routes_is_refused(tmp_path: Path) -> None:
    control = await started_with_plugin(tmp_path, "1 / 0")
    assert control.applied is not None

    with pytest.raises(ConfigError, match=r"meshwright_admin_routes.*ZeroDivisionError.*extra\.py"):
        admin_app(control, control.applied.config)


@pytest.mark.parametrize(
    ("routes", "got"),
    [
        ("[print]", "<built-in function print>"),
        ("{'/hello': print}", "{'/hello': <built-in function print>}"),
        ("'/hello'", "'/hello'"),
        ("None", "None"),
        ("Route('/a', print)", "Route(path='/a', name='print', methods=[])"),
        ("[Route('/a', print), 7]", "7"),
    ],
)
async def test_what_is_no_route_is_refused_with_the_plugins_name(routes: str, got: str, tmp_path: Path) -> None:
    control = await started_with_plugin(tmp_path, routes)
    assert control.applied is not None

    with pytest.raises(ConfigError) as caught:
        admin_app(control, control.applied.config)

    expected = f"expected a list of Starlette routes; got {got}"
    assert [str(each) for each in caught.value.problems] == [f"plugin extra: meshwright_admin_routes: {expected}"]


async def started_with_plugin(folder: Path, routes: str) -> Control:
    (folder / "extra.py").write_text(HOOKS.replace("ROUTES", routes))
    control = Control(FakeSource(f"plugins: [./extra.py]\n{YAML}", folder), check, Fleet())
    await control.start()
    return control


def test_the_document_of_the_fakes_is_right() -> None:
    assert check(document()).loaded.config.listeners[0].name == "web"


BREAKER = {"kind": "filter", "plugin": "breaker", "actions": {"open": "Open it."}}


async def test_state_shows_each_use_with_what_every_worker_says_of_it() -> None:
    first, second = FakeWorker("0"), FakeWorker("1")
    first.uses = {"filters.breaker": {**BREAKER, "state": {"is": "open"}}}
    second.uses = {"filters.breaker": {**BREAKER, "error": "KeyError: 'x'"}}
    control = await started(first, second)

    async with client_of(control) as client:
        shown = (await client.get("/api/state")).json()

    workers = [{"worker": "0", "state": {"is": "open"}}, {"worker": "1", "error": "KeyError: 'x'"}]
    assert shown == {"version": 1, "uses": [{"use": "filters.breaker", **BREAKER, "workers": workers}]}


async def test_an_act_reaches_every_worker() -> None:
    workers = FakeWorker("0"), FakeWorker("1")
    for worker in workers:
        worker.uses = {"filters.breaker": {**BREAKER, "state": {}}}
    control = await started(*workers)
    asked = {"use": "filters.breaker", "action": "open", "arguments": {"endpoint": "http://a:1"}}

    async with client_of(control) as client:
        done = await client.post("/api/act", json=asked)

    assert (done.status_code, done.json()) == (200, {"use": "filters.breaker", "action": "open"})
    for worker in workers:
        assert worker.acts == [("filters.breaker", "open", {"endpoint": "http://a:1"})]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"use": "filters.other", "action": "open"}, "use: there is no filters.other"),
        ({"use": "filters.breaker"}, "expected {use, action, arguments} as JSON"),
        ([], "expected {use, action, arguments} as JSON"),
    ],
)
async def test_an_act_that_is_none_is_refused(asked: object, said: str) -> None:
    control = await started(FakeWorker())

    async with client_of(control) as client:
        refused = await client.post("/api/act", json=asked)

    assert (refused.status_code, refused.json()["detail"]) == (422, said)
