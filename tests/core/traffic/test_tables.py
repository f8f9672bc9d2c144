"""Tables that balancers need: what is made of a configuration must not keep traffic waiting for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from meshwright.traffic.beside import in_thread
from meshwright.traffic.checked import read
from meshwright.traffic.gateway import Gateway
from meshwright_sdk import ConfigDocument, SideWork, Tasks
from meshwright_sdk.testing import ManualClock

STEPS = 50
PLUGIN = f"""\
from meshwright_sdk import KeyedBalancer, KeyedOptions

class Table:
    def __init__(self, endpoints):
        self.endpoints = list(endpoints)

    def owner(self, place):
        return self.endpoints[0]

    def others(self, place):
        return iter(())

class Stepped(KeyedBalancer[KeyedOptions]):
    steps = []

    def build(self, shares):
        for _ in range({STEPS}):
            self.steps.append(self.context.service)
            yield
        return Table(shares)
"""
SERVICE = '{balancer: {stepped: {key: client}}, endpoints: ["http://127.0.0.1:9"]}'


async def test_those_of_several_services_are_there_before_the_first_request_and_made_a_step_in_a_turn(
    tmp_path: Path,
) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    text = f"plugins: [./plugin.py]\nservices: {{a: {SERVICE}, b: {SERVICE}, c: {SERVICE}}}\n"
    config = await in_thread(read, ConfigDocument(text=text, name="gateway.yaml", base_dir=tmp_path))
    steps: list[str] = config.registry.find("balancer", "stepped").target.steps
    gateway = Gateway()
    gateway._side_work = SideWork(ManualClock().monotonic)  # no turn is long

    building = Tasks().spawn(gateway.build(config, 1), name="building")
    while not building.done():
        before = len(steps)
        await asyncio.sleep(0)
        assert len(steps) <= before + 1

    assert sorted(steps) == [*"a" * STEPS, *"b" * STEPS, *"c" * STEPS]
    await gateway.discard(building.result())
    await gateway.close()
