"""Starting the parts of a new snapshot, and saying which of them could not; making and closing them goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from meshwright.config import LoadedConfig, problems_in
from meshwright.config.problems import Problem, config_error
from meshwright.plugin_host.frames import describe_failure
from meshwright.traffic.parts import Part
from meshwright_sdk.errors import ConfigError, MeshwrightError

START_TIMEOUT_S = 30.0
"""How long the parts of a new snapshot may take to start, all of them together."""
STARTS_A_TURN = 50


async def start_parts(parts: Sequence[Part], loaded: LoadedConfig) -> None:
    """Start the parts side by side, a few more in each turn of the loop; raises ConfigError with every failure."""
    loop = asyncio.get_running_loop()
    starts: dict[asyncio.Task[None], Part] = {}
    try:
        for part in parts:
            if part.has_start:
                starts[loop.create_task(_start(part), name=f"start of {part.key}")] = part
                if len(starts) % STARTS_A_TURN == 0:
                    await asyncio.sleep(0)
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
    except BaseException:
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)
        raise
    failed = [(part, error) for part, error in zip(starts.values(), outcomes, strict=True) if error is not None]
    if failed:
        raise config_error(problem for part, error in failed for problem in _problems(part, error, loaded))


async def _start(part: Part) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        await part.start()


def _problems(part: Part, error: BaseException, loaded: LoadedConfig) -> Iterator[Problem]:
    if isinstance(error, ConfigError) and any(problems_in(error)):
        yield from map(loaded.located, problems_in(error))
        return
    told = isinstance(error, MeshwrightError | ValueError | OSError)
    got = (str(error) or type(error).__name__) if told else describe_failure(error)
    yield loaded.located(Problem("", None, part.path, f"to be able to start within {START_TIMEOUT_S:g} s", got))
