"""Finds and imports what offers plugins: built in, installed, named in the YAML; what they offer is read elsewhere."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from meshwright.config.problems import Problem, did_you_mean
from meshwright.plugin_host.frames import describe_failure

BUILT_IN = "meshwright_plugins"
GROUP = "meshwright.plugins"

FAILURES = (BaseException,)
"""What code of a plugin that is not awaited may raise: a `sys.exit` or KeyboardInterrupt must not end the gateway."""

_FILE_MODULE = "meshwright_file_"
_VERSIONS_KEPT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A module or object that offers plugins.

    `name` is what pluggy knows it by, `origin` what people are told. `index` is its place in the YAML's list of
    plugins, None when it is built in or installed; `file` is set when the YAML names it by a path.
    """

    name: str
    origin: str
    plugin: object
    index: int | None = None
    file: Path | None = None

    def problem(self, offer: str, got: str, hint: str = "") -> Problem:
        """Return a problem with what this source offers; `offer` says what was expected of it."""
        expected = offer if self.index is None else f"{self.origin} to offer {offer}"
        return problem_at(self.origin, self.index, expected, got, hint)


class LoadError(Exception):
    """A source or attribute cannot be had: what was expected, what came, and what was probably meant."""

    def __init__(self, expected: str, got: str, hint: str = "") -> None:
        super().__init__(f"expected {expected}; got {got}")
        self.expected = expected
        self.got = got
        self.hint = hint


def problem_at(origin: str, index: int | None, expected: str, got: str, hint: str = "") -> Problem:
    """Return a problem with the YAML's plugin `index`, whose file and line the reader of the YAML knows.

    Where `index` is None the plugin is built in or installed, and `origin` stands in the file's place.
    """
    if index is None:
        return Problem(origin, None, (), expected, got, hint)
    return Problem("", None, ("plugins", index), expected, got, hint)


def load_sources(entries: Sequence[str], base_dir: Path) -> tuple[list[Source], list[Problem]]:
    """Import the built-in plugins, the installed ones and `entries`; return what could be had, and every problem.

    A module that two of them name is had once, an empty entry is passed over. Import within `importing`, so that
    a failure leaves nothing.
    """
    attempts: list[tuple[str, int | None, Callable[[], Source]]] = [
        (BUILT_IN, None, load_built_in),
        *(
            (f"entry point {point.name} ({_owner(point)})", None, partial(load_installed, point))
            for point in installed()
        ),
        *((entry, index, partial(load_entry, entry, index, base_dir)) for index, entry in enumerate(entries) if entry),
    ]
    sources: list[Source] = []
    problems: list[Problem] = []
    for origin, index, load in attempts:
        try:
            source = load()
        except LoadError as error:
            problems.append(problem_at(origin, index, error.expected, error.got, error.hint))
        else:
            if not any(source.plugin is other.plugin for other in sources):
                sources.append(source)
    return sources, problems


def load_built_in() -> Source:
    """Import the built-in plugins, by name as any other module."""
    return Source(name=BUILT_IN, origin="built in", plugin=_import(BUILT_IN))


def installed() -> list[EntryPoint]:
    """Return the entry points that offer plugins, in the order of their names."""
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def load_installed(point: EntryPoint) -> Source:
    """Import what an entry point names; raises LoadError."""
    plugin = import_attribute(point.value) if point.attr else _import(point.module)
    return Source(name=point.name, origin=_owner(point), plugin=plugin)


def _owner(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def load_entry(entry: str, index: int, base_dir: Path) -> Source:
    """Import a file (`./filters.py`) or a module (`acme.filters`); raises LoadError."""
    file = _resolve(base_dir, entry) if _is_file(entry) else None
    plugin = _import_file(file, entry) if file else _import(entry, base_dir)
    name = entry.removeprefix("./").removesuffix(".py")
    return Source(name=name, origin=entry, plugin=plugin, index=index, file=file)


def plugin_files(entries: Iterable[str], base_dir: Path) -> Iterator[Path]:
    """Yield the files among `entries`, importable or not, but for those whose path is none."""
    for entry in filter(_is_file, entries):
        with suppress(LoadError):
            yield _resolve(base_dir, entry)


def _is_file(entry: str) -> bool:
    return entry.endswith(".py") or entry.startswith(".") or "/" in entry


def _resolve(base_dir: Path, entry: str) -> Path:
    try:
        return (base_dir / entry).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a null byte, a loop of links
        raise LoadError("a path to a Python file", f"{entry!r}: {error}") from None


def import_attribute(reference: str) -> object:
    """Return what `package.module:attribute` names; raises LoadError."""
    module_name, _, attribute = reference.partition(":")
    found: object = _import(module_name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise LoadError(f"{attribute} in {module_name}", "no such name", did_you_mean(part, dir(found)))
        found = getattr(found, part)
    return found


def _import(name: str, base_dir: Path | None = None) -> ModuleType:
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failed(f"module {name}", error) from error
        places = f"{base_dir} and the installed packages" if base_dir else "the installed packages"
        raise LoadError(f"a module {name} in {places}", f"no module {error.name}") from None
    except FAILURES as error:
        raise _failed(f"module {name}", error) from error


def _failed(what: str, error: BaseException) -> LoadError:
    return LoadError(f"{what} to import", describe_failure(error))


def _import_file(file: Path, entry: str) -> ModuleType:
    """Return the module of `file`: the one from before when its content is the same."""
    try:
        content = file.read_bytes()
    except OSError as error:
        near = did_you_mean(file.name, [each.name for each in file.parent.glob("*.py")])
        raise LoadError(f"a Python file at {file}", f"{error.strerror}", near) from None
    prefix = f"{_FILE_MODULE}{re.sub(r'[^0-9A-Za-z]', '_', file.stem)}_{_digest(bytes(file))}_"
    name = prefix + _digest(content)
    if name not in sys.modules:
        _execute(name, file, content, entry)
        _forget_oldest(prefix)
    return sys.modules[name]


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:12]


class _SourceLoader(SourceFileLoader):
    """Compiles the very bytes that were hashed; Python's bytecode cache goes by time and misses a quick edit."""

    def __init__(self, name: str, path: str, content: bytes) -> None:
        super().__init__(name, path)
        self._content = content

    def get_data(self, path: str) -> bytes:
        return self._content

    def path_stats(self, path: str) -> dict[str, float]:
        raise OSError("not cached")


def _execute(name: str, file: Path, content: bytes, entry: str) -> None:
    spec = importlib.util.spec_from_file_location(name, file, loader=_SourceLoader(name, str(file), content))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except FAILURES as error:
        del sys.modules[name]
        raise _failed(entry, error) from error


def _forget_oldest(prefix: str) -> None:
    """Keep a bounded number of a file's versions; what still uses a forgotten one goes on to."""
    for name in [name for name in sys.modules if name.startswith(prefix)][:-_VERSIONS_KEPT]:
        del sys.modules[name]


@contextmanager
def importing(base_dir: Path) -> Iterator[None]:
    """Import with `base_dir` at the end of the search path; an exception undoes the path and the author's imports."""
    folder = str(base_dir.resolve())
    before = set(sys.modules)
    added = folder not in sys.path
    if added:
        sys.path.append(folder)
    try:
        yield
    except BaseException:
        for name in set(sys.modules) - before:
            if _is_authors(name, folder):
                del sys.modules[name]
        if added:
            sys.path.remove(folder)
        raise


def _is_authors(name: str, folder: str) -> bool:
    file = getattr(sys.modules[name], "__file__", None) or ""
    return name.startswith(_FILE_MODULE) or (file.startswith(f"{folder}/") and "site-packages" not in file)
