"""What is asked of every contender. How a contender is set up for it does not go in here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One kind of traffic: what the clients ask for, and what the backend answers."""

    name: str
    title: str
    path: str
    body: str
    connections: int


PLAIN = Scenario(
    name="plain",
    title="plain proxy, GET, answers of 100 bytes, 32 keep-alive connections",
    path="/hello",
    body="x" * 100,
    connections=32,
)

SCENARIOS = {scenario.name: scenario for scenario in (PLAIN,)}
