"""`NotedClock`: a clock that a test moves by hand, and that knows for how long its plugin wanted to sleep."""

from __future__ import annotations

from meshwright_sdk.testing import ManualClock


class NotedClock(ManualClock):
    """Keeps what it was asked to sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def sleep(self, delay_s: float) -> None:
        self.pauses.append(delay_s)
        await super().sleep(delay_s)
