from __future__ import annotations

import re

import httpx

from tests.e2e.gateway_process import GatewayFile, GatewayProcess, running_gateway

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
