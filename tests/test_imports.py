"""The rule plugins → sdk ← core, read from the import statements; paths in strings are no imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("core/meshwright", "sdk/meshwright_sdk", "plugins/meshwright_plugins")
CORE, SDK, PLUGINS = "meshwright", "meshwright_sdk", "meshwright_plugins"
MAY_NOT_IMPORT = {CORE: {PLUGINS}, SDK: {CORE, PLUGINS}, PLUGINS: {CORE}}


def module_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Give line and dotted name of everything imported, also in functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node.module, node.level, package)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def absolute(module: str | None, level: int, package: str) -> str:
    if level == 0:
        return module or ""
    parents = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join([*parents, module] if module else parents)


def plugin_of(module: str) -> str | None:
    """Name the plugin that a module belongs to: one file or one folder below the folder of its kind.

    The packages that only group plugins, such as `meshwright_plugins.filters`, belong to none.
    """
    parts = module.split(".")
    return ".".join(parts[:3]) if parts[0] == PLUGINS and len(parts) >= 3 else None


def allowed(module: str, name: str) -> bool:
    package, target = module.partition(".")[0], name.partition(".")[0]
    if target in MAY_NOT_IMPORT[package]:
        return False
    own = plugin_of(module)
    return own is None or target != PLUGINS or plugin_of(name) == own


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    package = module if is_package else module.rpartition(".")[0]
    names = imported_names(source, package)
    return [f"{module}:{line} imports {name}" for line, name in names if not allowed(module, name)]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_import_points_towards_the_sdk(folder: str) -> None:
    top = ROOT / folder
    files = sorted(top.rglob("*.py"))
    found = [
        violation
        for file in files
        for violation in violations(
            module_of(file, top.parent), file.read_text("utf-8"), is_package=file.stem == "__init__"
        )
    ]

    assert files
    assert found == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("meshwright.pool", "import meshwright_plugins"),
        ("meshwright.pool", "from meshwright_plugins.filters.retry import Retry"),
        ("meshwright_sdk.request", "import meshwright.traffic.pool as pool"),
        ("meshwright_sdk.request", "def late():\n    from meshwright.traffic import pool"),
        ("meshwright_sdk.request", "if TYPE_CHECKING:\n    from meshwright_plugins import filters"),
        ("meshwright_plugins.filters.retry", "from meshwright.traffic.pool import Pool"),
        ("meshwright_plugins.filters.retry", "from meshwright_plugins.filters.cache import Cache"),
        ("meshwright_plugins.filters.retry", "from meshwright_plugins.filters import cache"),
        ("meshwright_plugins.filters.retry", "from meshwright_plugins import filters"),
        ("meshwright_plugins.filters.retry", "from . import cache"),
        ("meshwright_plugins.filters.retry", "from .cache import Cache"),
        ("meshwright_plugins.filters.retry", "from ..stores.memory import Memory"),
        (
            "meshwright_plugins.filters.cache.vary",
            "async def late():\n    import meshwright_plugins.stores.redis",
        ),
    ],
)
def test_a_forbidden_import_is_found_wherever_it_stands(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("meshwright.pool", "from meshwright_sdk import Request\nfrom meshwright.errors import refused"),
        ("meshwright.builtin", "PACKAGE = 'meshwright_plugins.filters'"),
        ("meshwright_sdk.request", "import meshwright_sdk.headers, asyncio"),
        ("meshwright_plugins.filters.retry", "from meshwright_sdk import Filter\nimport meshwright_sdkless"),
        ("meshwright_plugins.filters.cache.vary", "from meshwright_plugins.filters.cache.key import Key"),
        ("meshwright_plugins.filters.cache.vary", "from . import key"),
        ("meshwright_plugins.filters", "from meshwright_plugins.filters import retry"),
    ],
)
def test_an_import_within_the_rule_is_let_through(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_a_package_resolves_its_relative_imports_from_itself() -> None:
    assert violations("meshwright_plugins.filters.cache", "from .key import Key", is_package=True) == []
    assert violations("meshwright_plugins.filters.cache", "from ..retry import R", is_package=True) != []
