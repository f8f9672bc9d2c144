"""Policies in workers of their own: what the admin API and the metrics tell, and what a reload leaves."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.gateway_process import GatewayFile, GatewayProcess, eventually, running_gateway
from tests.plugins.policies.upstream import running_upstream

POLICIES = "    policies: [health_check: {path: /healthz, contains: ready, interval: 100ms, fall: 2, rise: 2}]\n"
YAML = f"""\
listeners:
  - {{name: web, bind: "127.0.0.1:0"}}
admin: {{bind: "127.0.0.1:0"}}
routes:
  - {{name: all, to: back}}
services:
  back:
    endpoints: ["ONE", "TWO"]
    balancer: round_robin
{POLICIES}"""


async def endpoints(gateway: GatewayProcess) -> dict[str, Any]:
    (service,) = (await gateway.get("/api/services")).json()["services"]
    return {endpoint["url"]: endpoint for endpoint in service["endpoints"]}


async def served(gateway: GatewayProcess, count: int) -> Counter[str]:
    """Return who answered, over connections of many clients, so that all workers are asked."""
    counts: Counter[str] = Counter()
    for _ in range(count // 5):
        async with httpx.AsyncClient() as client:
            for _ in range(5):
                answer = await client.get(gateway.url)
                assert answer.status_code == 200
                counts[answer.text] += 1
    return counts


async def test_an_endpoint_that_is_unwell_is_out_in_every_worker_until_it_is_well(tmp_path: Path) -> None:
    async with running_upstream() as one, running_upstream() as two:
        file = GatewayFile(tmp_path / "gateway.yaml", YAML.replace("ONE", one.url).replace("TWO", two.url))
        async with running_gateway(file, "--workers", "2") as gateway:

            async def health_is(first: str) -> bool:
                return [each["health"] for each in (await endpoints(gateway)).values()] == [first, "healthy"]

            await eventually(lambda: health_is("healthy"))
            one.healthy = False
            await eventually(lambda: health_is("ejected"))
            told = (await endpoints(gateway))[one.url]
            assert told["ejections"] == {"health_check": "its answer does not contain 'ready'"}
            assert [each["health"] for each in told["workers"]] == ["ejected", "ejected"]
            assert await served(gateway, 60) == {two.url: 60}
            metrics = (await gateway.get("/metrics")).text
            assert 'meshwright_health_check_endpoints{service="back",state="unhealthy"} 2' in metrics
            assert gateway.log.count(f"service back: {one.url} is out") == 2

            one.healthy = True
            await eventually(lambda: health_is("healthy"))
            assert set(await served(gateway, 60)) == {one.url, two.url}


async def test_a_reload_that_takes_the_policy_out_leaves_nothing_of_it_and_drops_no_connection(tmp_path: Path) -> None:
    async with running_upstream() as one, running_upstream() as two:
        one.healthy = False
        file = GatewayFile(tmp_path / "gateway.yaml", YAML.replace("ONE", one.url).replace("TWO", two.url))
        async with running_gateway(file) as gateway:

            async def first_is(health: str) -> bool:
                return bool((await endpoints(gateway))[one.url]["health"] == health)

            await eventually(lambda: first_is("ejected"))
            await served(gateway, 10)
            connects = (await endpoints(gateway))[two.url]["pool"]["connects"]
            file.replace(POLICIES, "")
            await eventually(lambda: first_is("unchecked"))

            assert (await endpoints(gateway))[one.url]["ejections"] == {}
            probed = one.asked["/healthz"]
            assert set(await served(gateway, 10)) == {one.url, two.url}
            assert (await endpoints(gateway))[two.url]["pool"]["connects"] == connects
            assert one.asked["/healthz"] <= probed + 1
            assert 'state="unhealthy"}' not in (await gateway.get("/metrics")).text
