from __future__ import annotations

import re

import httpx

from tests.e2e.gateway_process import GatewayFile, GatewayProcess, Upstream, running_gateway, running_upstream

USE = "services.back.filters.circuit_breaker"


async def states(gateway: GatewayProcess) -> list[str]:
    """Return the state of each worker's breaker, as the admin API shows it."""
    uses = (await gateway.get("/api/state")).json()["uses"]
    (breaker,) = (use for use in uses if use["use"] == USE)
    assert set(breaker["actions"]) == {"open", "closed", "auto"}
    return [each["state"]["state"] for each in breaker["workers"]]


async def gauge(gateway: GatewayProcess, state: str) -> str:
    page = (await gateway.get("/metrics")).text
    (value,) = re.findall(
        rf'^meshwright_circuit_breaker_state{{route="",service="back",state="{state}"}} (\S+)$', page, re.M
    )
    return str(value)


async def statuses(gateway: GatewayProcess) -> set[int]:
    """Ask over new connections, so that every worker has its turn."""
    answers = set()
    for _ in range(12):
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            answers.add((await client.get("/orders")).status_code)
    return answers


async def served_by(gateway: GatewayProcess, *upstreams: Upstream) -> tuple[int, ...]:
    """Send ten requests and return how many each upstream got."""
    before = [upstream.requests for upstream in upstreams]
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        for _ in range(10):
            assert (await client.get("/orders")).status_code == 200
    return tuple(upstream.requests - had for upstream, had in zip(upstreams, before, strict=True))


async def test_a_breaker_is_forced_in_every_worker_and_stays_so_over_a_reload(file: GatewayFile) -> None:
    file.replace("endpoints:", "filters: [circuit_breaker], endpoints:")
    async with running_gateway(file, "--workers", "2") as gateway:
        before = (await statuses(gateway), await states(gateway))
        await gateway.post("/api/act", json={"use": USE, "action": "open"})
        forced = (await statuses(gateway), await states(gateway), await gauge(gateway, "open"))
        file.replace("filters: [circuit_breaker]", "filters: [circuit_breaker: {trials: 1}]")
        await gateway.post("/api/reload")
        reloaded = (await statuses(gateway), await states(gateway), await gauge(gateway, "open"))
        await gateway.post("/api/act", json={"use": USE, "action": "auto"})
        after = (await statuses(gateway), await states(gateway), await gauge(gateway, "closed"))

    assert before == ({200}, ["closed", "closed"])
    assert forced == ({503}, ["open", "open"], "2")
    assert reloaded == forced
    assert after == ({200}, ["closed", "closed"], "2")


async def test_the_breaker_of_one_endpoint_is_forced_by_its_url(file: GatewayFile, upstream: Upstream) -> None:
    async with running_upstream() as other:
        file.replace("endpoints: [", f'policies: [endpoint_breaker], endpoints: ["{other.url}", ')
        act = {"use": "services.back.policies.endpoint_breaker", "arguments": {"endpoint": other.url}}
        async with running_gateway(file) as gateway:
            answer = await gateway.post("/api/act", json={**act, "action": "open"})
            while_forced = await served_by(gateway, upstream, other)
            (back,) = (await gateway.get("/api/services")).json()["services"]
            shown = {each["url"]: each["ejections"] for each in back["endpoints"]}
            await gateway.post("/api/act", json={**act, "action": "auto"})
            after = await served_by(gateway, upstream, other)
            wrong = {**act, "arguments": {"endpoint": "http://10.0.0.1:80"}, "action": "open"}
            refusal = await gateway.post("/api/act", json=wrong)

    assert answer.status_code == 200
    assert while_forced == (10, 0)
    assert "forced open by hand" in str(shown[other.url])
    assert not shown[upstream.url]
    assert min(after) >= 4
    assert (refusal.status_code, "expected the URL of one of the service's" in refusal.text) == (422, True)
