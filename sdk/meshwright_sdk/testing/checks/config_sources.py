"""`check_config_source`: that a source delivers documents, now and after each change."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from meshwright_sdk.sources import AnyConfigSource, ConfigDocument
from meshwright_sdk.tasks import Tasks
from meshwright_sdk.testing.checks.claims import (
    PATIENCE_S,
    Wait,
    calling,
    claim,
    ends_when_cancelled,
    iterator_of,
    running,
)

_STEP_S = 0.25
_STEPS = 20


async def check_config_source(
    source: AnyConfigSource, change: Callable[[], Awaitable[None] | None], *, wait: Wait = asyncio.sleep
) -> None:
    """Run `source` through its contract; raises AssertionError that says what to mend.

    `change` gives the source's document another text. `wait` lets time go by: `asyncio.sleep`, or `advance` of
    the ManualClock the source was built with. The source is started and closed.
    """
    async with running(source):
        before = await _read(source)
        documents = iterator_of("watch()", source.watch())
        pending = Tasks().spawn(_next(documents), name="check_config_source")
        try:
            await _let_pass(pending, wait, 4)
            claim(
                "watch", not pending.done(), "nothing before the document changes (`read` gives the present one)", "one"
            )
            with calling("change()", "the document to be changed"):
                if inspect.isawaitable(changing := change()):
                    await changing
            await _let_pass(pending, wait, _STEPS, within_s=PATIENCE_S)
            claim("watch", pending.done(), "the document after a change", "nothing")
            with calling("watch", "the document after a change"):
                after = _checked("watch", await pending)
        finally:
            pending.cancel()
        claim("watch", after.text != before.text, "the text after the change", "the one before")
        claim("read", (await _read(source)).text == after.text, "the same text as was reported", "another one")
        with calling("depends_on", "it to take files, also ones that are not there"):
            source.depends_on([Path(__file__), Path("/nowhere/at/all")])
        await ends_when_cancelled("watch", iterator_of("watch()", source.watch()))


async def _read(source: AnyConfigSource) -> ConfigDocument:
    with calling("read", "the present document"):
        return _checked("read", await source.read())


def _checked(where: str, document: Any) -> ConfigDocument:
    claim(where, isinstance(document, ConfigDocument), "a ConfigDocument", repr(document))
    assert isinstance(document, ConfigDocument)
    claim(where, isinstance(document.text, str), "text as str (decode the bytes)", type(document.text).__name__)
    claim(where, bool(document.name), "a name, which stands in messages", repr(document.name))
    claim(where, isinstance(document.base_dir, Path), "base_dir to be a Path", repr(document.base_dir))
    return document


async def _next(documents: AsyncIterator[Any]) -> Any:
    return await anext(documents, None)


async def _let_pass(pending: asyncio.Task[Any], wait: Wait, steps: int, within_s: float = 0.0) -> None:
    """Let time go by until the task is done, or so many steps and so much real time are over.

    What it does beside waiting takes real time, however far a manual clock is moved.
    """
    end = asyncio.get_running_loop().time() + within_s
    while not pending.done() and (steps > 0 or asyncio.get_running_loop().time() < end):
        steps -= 1
        await wait(_STEP_S)
        await asyncio.wait([pending], timeout=0.02)
