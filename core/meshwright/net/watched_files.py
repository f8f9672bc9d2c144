"""`WatchedFiles`: have files changed since they were read; reading them again is done elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Look = tuple[int, int, int, int] | None
"""What tells one state of a file from another without reading it; None when it is missing."""


class WatchedFiles:
    """Files that were read just after this was made.

    It looks through symbolic links, so that a swap of what they point to is a change, as Kubernetes does it.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._files = tuple(files)
        self._known = self._last = self._look()
        self._wanted = False

    def are_known(self) -> bool:
        """Return whether they are as they were read, or as the last change was. Does I/O."""
        return self._look() == self._known

    def have_changed(self) -> bool:
        """Return whether they changed and stood still since the last call; true once for each change. Does I/O."""
        before, self._last = self._last, self._look()
        if self._last != before or (self._last == self._known and not self._wanted):
            return False
        self._known = self._last
        self._wanted = False
        return True

    def could_not_be_used(self) -> None:
        """Have the last change count once more: one that was seen half written may look the same when it is whole."""
        self._wanted = True

    def _look(self) -> tuple[Look, ...]:
        return tuple(_look(file) for file in self._files)


def _look(file: Path) -> Look:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
