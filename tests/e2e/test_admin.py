from __future__ import annotations

import asyncio
import shutil
import subprocess

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.gateway_process import (
    GatewayFile,
    GatewayProcess,
    eventually,
    kill,
    refused_gateway,
    running_gateway,
)

WORKERS = ("--workers", "2")


async def test_everything_is_added_up_over_the_workers(file: GatewayFile) -> None:
    async with running_gateway(file, *WORKERS) as gateway:
        for _ in range(30):
            async with httpx.AsyncClient() as client:
                await client.get(f"{gateway.url}/")
        await eventually(lambda: _has_lag(gateway))
        samples = await _samples(gateway)
        (service,) = (await gateway.get("/api/services")).json()["services"]

    assert samples["meshwright_requests_total", (("route", "all"), ("status_class", "2xx"))] == 30
    assert samples["meshwright_request_seconds_count", (("route", "all"),)] == 30
    assert samples["meshwright_request_seconds_bucket", (("le", "+Inf"), ("route", "all"))] == 30
    assert samples["meshwright_workers", ()] == 2
    assert samples["process_resident_memory_bytes", (("worker", "1"),)] > 2**20
    (endpoint,) = service["endpoints"]
    assert endpoint["requests"] == 30
    assert sum(each["requests"] for each in endpoint["workers"]) == 30


async def _samples(gateway: GatewayProcess) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families((await gateway.get("/metrics")).text)
        for sample in family.samples
    }


async def _has_lag(gateway: GatewayProcess) -> bool:
    return (await _samples(gateway))["meshwright_event_loop_lag_seconds_count", ()] > 0


def check_metrics(promtool: str, page: str) -> tuple[int, str]:
    command = [promtool, "check", "metrics"]
    done = subprocess.run(command, input=page, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian package prometheus) is not installed")
async def test_promtool_reads_the_metrics(file: GatewayFile) -> None:
    promtool = shutil.which("promtool")
    assert promtool is not None
    async with running_gateway(file, *WORKERS) as gateway:
        page = (await gateway.get("/metrics")).text

    code, remarks = await asyncio.to_thread(check_metrics, promtool, page)
    assert code in (0, 3), remarks  # 3: remarks on style alone


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_explain_tells_route_and_endpoint_without_sending_anything(file: GatewayFile, workers: str) -> None:
    async with running_gateway(file, "--workers", workers) as gateway:
        answer = await gateway.post("/api/explain", json={"method": "GET", "url": "http://shop.example/orders"})
        refused = await gateway.post("/api/explain", json={"url": "ftp://shop.example"})
        (service,) = (await gateway.get("/api/services")).json()["services"]

    assert answer.json()["route"] == "all"
    assert answer.json()["services"][0]["endpoints"][0]["picked"]
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_request")
    assert service["endpoints"][0]["requests"] == 0


async def test_an_address_that_others_can_reach_needs_a_token(file: GatewayFile) -> None:
    file.replace('admin: {bind: "127.0.0.1:0"', 'admin: {bind: "0.0.0.0:0"')
    code, lines = await refused_gateway(file.path)
    assert (code, "token" in lines[0]) == (1, True)

    file.replace('"0.0.0.0:0"', '"0.0.0.0:0", token: t0ps3cret')
    async with running_gateway(file) as gateway:
        gateway.admin = gateway.admin.replace("0.0.0.0", "127.0.0.1")
        strangers = await gateway.get("/api/config")
        ours = await gateway.get("/api/config", headers={"authorization": "Bearer t0ps3cret"})
        probe = await gateway.get("/livez")

    assert (strangers.status_code, strangers.headers["content-type"]) == (401, "application/problem+json")
    assert (ours.status_code, probe.status_code) == (200, 200)
    assert "t0ps3cret" not in ours.text + gateway.log


async def test_a_page_that_points_its_own_name_at_the_machine_is_refused(file: GatewayFile) -> None:
    async with running_gateway(file) as gateway:
        answer = await gateway.get("/api/config", headers={"host": "evil.example"})

    assert (answer.status_code, answer.json()["code"]) == (403, "host_not_allowed")


async def test_a_plugin_adds_routes_of_its_own(file: GatewayFile) -> None:
    file.beside(
        "extra.py",
        "from meshwright_sdk import hookimpl\n"
        "from starlette.responses import PlainTextResponse\n"
        "from starlette.routing import Route\n\n"
        "@hookimpl\n"
        "def meshwright_admin_routes():\n"
        "    return [Route('/hello', lambda request: PlainTextResponse('hi'))]\n",
    )
    file.prepend("plugins: [./extra.py]\n")
    async with running_gateway(file, *WORKERS) as gateway:
        assert (await gateway.get("/api/plugins/extra/hello")).text == "hi"


SWITCH = """
from meshwright_sdk import Filter, Response

class Switch(Filter):
    actions = {"off": "Answer 503.", "on": "Let requests through."}
    off = False

    def state(self):
        return {"off": self.off}

    def act(self, action, arguments):
        if arguments:
            raise ValueError("arguments: expected none")
        self.off = action == "off"

    async def __call__(self, request, call_next):
        return Response.text("off", status=503) if self.off else await call_next(request)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_plugin_is_told_by_hand_in_every_worker_and_in_those_that_come(file: GatewayFile, workers: str) -> None:
    file.beside("switch.py", SWITCH)
    file.replace("routes:", "plugins: [./switch.py]\nroutes:")
    file.replace("to: back", "filters: [switch], to: back")
    use = "routes.all.filters.switch"
    async with running_gateway(file, "--workers", workers) as gateway:
        wrong = await gateway.post("/api/act", json={"use": use, "action": "sideways"})
        done = await gateway.post("/api/act", json={"use": use, "action": "off"})
        (shown,) = (await gateway.get("/api/state")).json()["uses"]
        pids = await gateway.workers()
        if workers == "2":
            kill(pids["1"])
            await eventually(lambda: _is_replaced(gateway, pids["1"]))
        async with httpx.AsyncClient() as client:
            answers = [(await client.get(gateway.url, headers={"connection": "close"})).status_code for _ in range(20)]

    assert (wrong.status_code, done.status_code) == (422, 200)
    assert "expected one of off, on; got 'sideways'" in wrong.json()["detail"]
    assert (shown["use"], shown["plugin"], shown["kind"]) == (use, "switch", "filter")
    assert [each["state"] for each in shown["workers"]] == [{"off": True}] * int(workers)
    assert set(answers) == {503}


async def _is_replaced(gateway: GatewayProcess, pid: int) -> bool:
    now = await gateway.workers()
    return len(now) == 2 and pid not in now.values()
