from __future__ import annotations

import asyncio

import pytest

from meshwright.traffic.parts import CLOSE_S
from meshwright.traffic.plugin_set import PluginSet
from meshwright_sdk import NoOptions, Plugin, Tasks
from meshwright_sdk.testing import build


class Closing(Plugin[NoOptions]):
    """Knows whether it was closed."""

    closed = False

    async def close(self) -> None:
        self.closed = True


class Exits(Closing):
    async def close(self) -> None:
        raise SystemExit(3)


class Hangs(Closing):
    async def close(self) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("broken", "within_s", "error"),
    [(Exits, CLOSE_S, pytest.raises(RuntimeError, match="SystemExit")), (Hangs, 0.01, pytest.raises(TimeoutError))],
)
async def test_one_that_exits_or_hangs_at_its_close_keeps_no_other_and_no_work_from_its_end(
    broken: type[Closing], within_s: float, error: pytest.RaisesExc[Exception]
) -> None:
    other, tasks = build(Closing), Tasks()
    plugins = PluginSet((other, build(broken)), tasks=tasks)
    tasks.spawn(asyncio.Event().wait(), name="work")

    with error:
        await plugins.close(within_s)

    assert (other.closed, len(tasks)) == (True, 0)
