"""What a filter may not do to the gateway: every mistake is a logged 500, and nothing stays in flight."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from meshwright.traffic.gateway import Gateway
from meshwright_sdk import ConfigDocument, Request
from meshwright_sdk.testing import make_request

CONSTANT = "from meshwright_sdk import Response\nANSWER = Response.text('maintenance')\n"
MISTAKES = {
    "returns nothing": ("", "return None"),
    "returns a text": ("", "return 'ok'"),
    "returns nothing after a good answer": ("", "await call_next(request)"),
    "returns a response that was given before": (CONSTANT, "return ANSWER"),
    "returns what it has closed": ("", "r = await call_next(request); await r.aclose(); return r"),
    "raises SystemExit": ("", "raise SystemExit(3)"),
    "raises KeyboardInterrupt": ("", "raise KeyboardInterrupt"),
    "raises an exception": ("", "raise KeyError('x')"),
    "awaits a cancelled future": (
        "import asyncio\n",
        "f = asyncio.get_running_loop().create_future(); f.cancel(); await f",
    ),
}


async def prepared(folder: Path, top: str, body: str) -> Gateway:
    (folder / "mine.py").write_text(
        f"{top}from meshwright_sdk import filter\n\n@filter\nasync def mine(request, call_next):\n    {body}\n"
    )
    text = """
plugins: [./mine.py]
routes:
  - {name: all, match: {path: /*}, filters: [mine, respond: {status: 200, text: fine}]}
"""
    gateway = Gateway()
    document = ConfigDocument(text=text, name="gateway.yaml", base_dir=folder)
    await gateway.commit(await gateway.prepare(document, 1))
    return gateway


async def answered(gateway: Gateway, request: Request) -> int:
    response = await gateway.handle(request)
    status = response.status
    response.settle()
    return status


@pytest.mark.parametrize(("top", "body"), MISTAKES.values(), ids=MISTAKES)
async def test_a_filters_mistake_is_a_logged_500_and_leaves_nothing_in_flight(
    top: str, body: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await prepared(tmp_path, top, body)

    statuses = [await answered(gateway, make_request()) for _ in range(2)]

    assert statuses[-1] == 500
    assert "a plugin failed" in caplog.text
    assert "on route all" in caplog.text
    assert gateway.snapshot is not None
    assert gateway.snapshot.users.count == 0
    await gateway.close()


async def test_a_request_that_is_cancelled_stays_cancelled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gateway = await prepared(tmp_path, "import asyncio\n", "await asyncio.Event().wait()")
    task = asyncio.get_running_loop().create_task(answered(gateway, make_request()))
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert "failed" not in caplog.text
    assert gateway.snapshot is not None
    assert gateway.snapshot.users.count == 0
    await gateway.close()


async def test_a_copy_for_another_attempt_that_no_service_answers_changes_nothing(tmp_path: Path) -> None:
    gateway = await prepared(tmp_path, "", "request.copy(); return await call_next(request)")

    assert await answered(gateway, make_request()) == 200
    await gateway.close()
