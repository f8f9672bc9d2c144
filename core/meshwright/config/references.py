"""`${NAME}`, `${NAME:-default}` and `${file:PATH}` in texts; where in a document the texts stand is not known here."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LARGEST_FILE = 1024 * 1024
"""How many bytes a referenced file may have."""

_TOKEN = re.compile(r"\$\$\{|\$\{(?P<body>[^{}]*)(?P<end>\}?)")
_VARIABLE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-.*)?", re.DOTALL)
_DEFAULT = re.compile(r"(?<=:-)[^{}]+(?=\})")


class ReferenceFailedError(ValueError):
    """A reference that cannot be replaced: what was expected, what came, and what may help."""

    def __init__(self, expected: str, got: str, hint: str = "") -> None:
        super().__init__(f"expected {expected}; got {got}")
        self.expected = expected
        self.got = got
        self.hint = hint


@dataclass(frozen=True, slots=True)
class References:
    """Replaces references by what they stand for; `files` gathers every file that was asked for, readable or not."""

    environ: Mapping[str, str]
    folder: Path
    files: set[Path] = field(default_factory=set)

    def expand(self, text: str, came_in: dict[str, str] | None = None) -> str:
        """Return the text with each reference replaced, once: what comes in is not looked at again.

        `$${` gives `${`. Raises ReferenceFailedError for the first reference that cannot be replaced. `came_in`
        gets each value that came from outside, with its reference; a default did not.
        """

        def replace(token: re.Match[str]) -> str:
            value = self._replacement(token)
            if came_in is not None and token["body"] is not None and not token["body"].endswith(f":-{value}"):
                came_in[value] = token[0]
            return value

        return _TOKEN.sub(replace, text)

    def _replacement(self, token: re.Match[str]) -> str:
        body = token["body"]
        if body is None:
            return "${"
        if body.startswith("file:") and token["end"]:
            return self._file(body.removeprefix("file:"), token[0])
        variable = _VARIABLE.fullmatch(body)
        if variable is None or not token["end"]:
            forms = "${NAME}, ${NAME:-default} or ${file:PATH}"
            # The text may be a secret that happens to hold these characters, so none of it is shown.
            raise ReferenceFailedError(forms, "something else after ${", "for a text that has ${ in it write $${")
        return self._variable(variable["name"], variable["default"], token[0])

    def _variable(self, name: str, default: str | None, reference: str) -> str:
        value = self.environ.get(name, "")
        if not value and default is not None:
            return default.removeprefix(":-")
        if name not in self.environ:
            expected = f"the environment variable {name} for {reference}"
            raise ReferenceFailedError(expected, "none", f"set it, or write ${{{name}:-default}}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ReferenceFailedError(f"text in UTF-8 for {reference}", "other bytes") from None
        return value

    def _file(self, name: str, reference: str) -> str:
        """Return what the file says, without the one newline that editors put at its end."""
        expected = f"a readable file for {reference}"
        try:
            path = self.folder / name
            self.files.add(path)
            data = _read(path)
        except (OSError, ValueError) as error:
            raise ReferenceFailedError(expected, getattr(error, "strerror", None) or "no such path") from error
        if data is None:
            raise ReferenceFailedError(expected, "none", f"a plain file of {LARGEST_FILE} bytes at most is")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise ReferenceFailedError(f"text in UTF-8 for {reference}", "other bytes") from None
        return text.removesuffix("\n").removesuffix("\r")


def has_reference(text: str) -> bool:
    """Return whether the text holds a reference, well-formed or not; an escaped one is none."""
    return any(token["body"] is not None for token in _TOKEN.finditer(text))


def without_defaults(text: str) -> str:
    """Return the text with `***` for the default in each reference, as it is shown in the place of a secret."""
    return _DEFAULT.sub("***", text)


def _read(path: Path) -> bytes | None:
    """Return the content of a plain file of bearable size; a pipe or device would block or never end."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
        return None
    with path.open("rb") as file:
        return file.read(LARGEST_FILE)
