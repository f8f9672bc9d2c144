"""`Ledger`: the last known counts of every worker, so that no sum goes back when one dies; no rendering."""

from __future__ import annotations

from meshwright.processes.exposition import Dump, FamilyDump, add_up, without_gauges


class Ledger:
    """Adds up workers, those that died and those that do not answer included.

    What a worker counted after its last report is lost with it; what was once shown never goes back.
    """

    def __init__(self) -> None:
        self._live: dict[str, Dump] = {}
        self._retired: Dump = ()

    def report(self, worker: str, families: Dump) -> None:
        """Keep what `worker` counted from its start until now."""
        self._live[worker] = families

    def retire(self, worker: str) -> None:
        """Keep the counters of a worker that is gone, and forget its gauges."""
        self._retired = add_up((self._retired, without_gauges(self._live.pop(worker, ()))))

    def total(self) -> list[FamilyDump]:
        """Return the sum over all workers there ever were."""
        return add_up((*self._live.values(), self._retired))
