"""The pages are complete and true: names, hooks, plugins, links, YAML, Python examples and metrics."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import meshwright_sdk
import meshwright_sdk.testing
from meshwright.config import read_document, validate
from meshwright.plugin_host.registry import Registry
from meshwright_plugins.stores.memory import Memory
from meshwright_sdk import Context, Filter
from meshwright_sdk.filters import MARK
from meshwright_sdk.hooks import Hooks
from meshwright_sdk.testing import build
from tests.certificates import write_certificate
from tests.e2e.gateway_process import GatewayFile, running_gateway

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
REDIS = ROOT / "plugins" / "meshwright_plugins" / "stores" / "redis"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
PLUGIN_PAGE = DOCS / "writing-a-plugin.md"
FOLDERS = {
    "filter": "filters",
    "router": "routers",
    "balancer": "balancers",
    "policy": "policies",
    "discovery": "discovery",
    "store": "stores",
    "config_source": "config_sources",
}
STUB = """\
from meshwright_sdk import filter


@filter
async def {name}(request, call_next):
    return await call_next(request)
"""


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(language: str, pages: list[Path]) -> list[tuple[str, str]]:
    """Return the code blocks of a language, each with a name that tells its place."""
    return [
        (f"{named(page)}:{text[: found.start()].count(chr(10)) + 1}", found[1])
        for page in pages
        for text in [page.read_text("utf-8")]
        for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


GATEWAYS = [each for each in blocks("yaml", PAGES) if re.search(r"^routes:", each[1], re.MULTILINE)]
PYTHON = blocks("python", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))])
FILTERS = [each for each in PYTHON if re.search(r"^@filter$|\(Filter\[", each[1], re.MULTILINE)]


def public_names() -> list[tuple[str, object]]:
    return [
        (f"{module.__name__}.{name}", getattr(module, name))
        for module in (meshwright_sdk, meshwright_sdk.testing)
        for name in module.__all__
    ]


def documented(name: str, value: object) -> bool:
    """Return whether a class or function has a docstring of its own, and any other value a text after it."""
    if inspect.isclass(value) or inspect.isroutine(value):
        return bool((value.__doc__ or "").strip()) and not (value.__doc__ or "").startswith(f"{name}(")
    source = Path(inspect.getsourcefile(importlib.import_module(module_of(name))) or "").read_text("utf-8")
    return re.search(rf'^{name} = .*(\n[ \])}}].*)*\n"""\S', source, re.MULTILINE) is not None


def module_of(name: str) -> str:
    """Return the module that the SDK imports a value from."""
    found = re.search(rf"^from (\S+) import .*\b{name}\b", inspect.getsource(meshwright_sdk), re.MULTILINE)
    assert found, name
    return found[1]


@pytest.mark.parametrize(("name", "value"), public_names(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_public_name_has_a_docstring(name: str, value: object) -> None:
    assert documented(name.rpartition(".")[2], value)


@pytest.mark.parametrize(
    ("name", "value"),
    [each for each in public_names() if inspect.isclass(each[1])],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_public_method_of_the_sdk_has_a_docstring(name: str, value: type) -> None:
    own = {
        method: getattr(value, method)
        for method, found in vars(value).items()
        if not method.startswith("_") and (inspect.isroutine(found) or isinstance(found, property | classmethod))
    }

    assert [method for method, found in own.items() if not (found.__doc__ or "").strip()] == []


def test_every_hook_is_told() -> None:
    hooks = {name for name in vars(Hooks) if name.startswith("meshwright_")}
    page = PLUGIN_PAGE.read_text("utf-8")

    assert len(hooks) > 5
    assert {hook for hook in hooks if f"`{hook}`" not in page} == set()
    assert set(re.findall(r"\bmeshwright_[a-z_]+\b", page)) - hooks == {"meshwright_sdk"}


def test_filters_go_inside_of_what_the_page_has_around_them() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", (DOCS / "resilience.md").read_text("utf-8"), re.M)
    place = {name: int(number) for number, names in rows for name in re.findall(r"`(\w+)`", names)}
    filters = {info.name: info.target for info in Registry.built_in().all() if info.kind == "filter"}
    contradictions = [
        (name, around)
        for name in place
        for around in filters[name].goes_inside
        if around in place and place[around] > place[name]
    ]

    assert len(place) > 10
    assert contradictions == []
    assert {around for target in filters.values() for around in getattr(target, "goes_inside", ())} <= filters.keys()


def test_every_plugin_has_its_page_and_no_other_has() -> None:
    plugins = {f"{FOLDERS[info.kind]}/{info.name}.md" for info in Registry.load().all() if info.origin == "built in"}
    pages = {str(page.relative_to(DOCS / "plugins")) for page in (DOCS / "plugins").glob("*/*.md")}

    assert pages == plugins


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the common renderers make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in re.findall(r"^#+ (.+)$", text, re.M)]
    seen: dict[str, count[int]] = {}
    return {slug if not (n := next(seen.setdefault(slug, count()))) else f"{slug}-{n}" for slug in slugs}


def dead_links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    dead = []
    for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two`\n[a](#one-two) [b](#three) [c](page.md#one-two) [d](gone.md) [e](https://x.test/)\n")

    assert dead_links(page) == ["#three", "gone.md"]


def plugin_files(text: str) -> list[str]:
    """Return the plugin files that a YAML names."""
    return re.findall(r"\./([\w/]+\.py)", text)


def write_plugins(text: str, folder: Path) -> None:
    """Write the plugin files that a YAML names, with each filter that is not built in: from a page, or one like it."""
    known = {info.name for info in Registry.load().all()}
    used = re.findall(r"^\s+- (\w+)\s*(?:#.*)?$|^\s+- (\w+): |filters: \[(\w+)\]", text, re.MULTILINE)
    unknown = sorted({name for each in used for name in each if name} - known)
    for file in plugin_files(text):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        names = [name for name in unknown if len(plugin_files(text)) == 1 or name in file]
        (folder / file).write_text("\n\n".join(map(source_of, names)))


def source_of(name: str) -> str:
    """Return the filter of that name."""
    defined = re.compile(rf"def {name}\(|class {name.title()}\(")
    return next((code for _, code in FILTERS if defined.search(code)), STUB.format(name=name))


@pytest.fixture
def search_path() -> Iterator[None]:
    """Undo what importing from a test's folder leaves behind."""
    before = list(sys.path)
    yield
    sys.path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        del sys.modules[name]


@pytest.mark.usefixtures("search_path")
@pytest.mark.parametrize(("place", "text"), GATEWAYS, ids=[place for place, _ in GATEWAYS])
def test_every_gateway_on_a_page_is_valid(place: str, text: str, tmp_path: Path) -> None:
    write_plugins(text, tmp_path)
    entries = [f"./{file}" for file in plugin_files(text)]
    if "acme_" in text:
        write_package(tmp_path)
        entries.append("acme.plugins")
    secrets = re.sub(r"\$\{file:[^}]*\}", "secret", text)

    registry = Registry.load(entries, tmp_path)
    validate(read_document(secrets, "page.yaml", environ={}, folder=tmp_path), registry.options_of)


def test_there_are_gateways_and_filters_to_check() -> None:
    assert len(GATEWAYS) >= 6
    assert len(FILTERS) >= 4


@pytest.mark.parametrize(("place", "code"), PYTHON, ids=[place for place, _ in PYTHON])
def test_every_python_example_compiles(place: str, code: str) -> None:
    compile(code, place, "exec")


@pytest.mark.usefixtures("search_path")
@pytest.mark.parametrize(("place", "code"), FILTERS, ids=[place for place, _ in FILTERS])
def test_every_filter_on_a_page_is_registered(place: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(code)

    infos = [info for info in Registry.load(["./example.py"], tmp_path).all() if info.origin == "./example.py"]

    assert [info.kind for info in infos] == ["filter"]
    assert hasattr(infos[0].target, MARK) or issubclass(infos[0].target, Filter)


def write_package(folder: Path) -> None:
    """Write the package of the page about plugins, installed."""
    for language in ("python", "yaml"):
        for _, code in blocks(language, [PLUGIN_PAGE]):
            name, _, content = code.removeprefix("# ").partition("\n")
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content)
    (folder / "acme" / "__init__.py").touch()
    (folder / "orders.txt").write_text("http://127.0.0.1:1\n")
    installed = folder / "acme-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    toml = next(code for _, code in blocks("toml", [PLUGIN_PAGE]))
    point = re.search(r'\[project\.entry-points\."(.+)"\]\nacme = "(.+)"', toml)
    assert point is not None
    (installed / "entry_points.txt").write_text(f"[{point[1]}]\nacme = {point[2]}\n")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    write_package(tmp_path)
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_tests_of_the_package_on_the_page_pass(package: Path) -> None:
    done = run(package, "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio", "tests")

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_on_the_page_is_found_when_it_is_installed(package: Path) -> None:
    listed = run(package, "meshwright", "plugins")
    checked = run(package, "meshwright", "check", "gateway.yaml")
    command = run(package, "meshwright", "about")

    assert listed.stdout.count("(acme 1.0)") == 7
    assert (checked.returncode, command.stdout) == (0, "Acme 1.0\n"), checked.stderr + command.stderr


@pytest.fixture
async def file(tmp_path: Path) -> GatewayFile:
    write_certificate(tmp_path)
    tls = "tls: {certificate: shop.pem, key: shop.key}"
    text = f'listeners: [{{name: web, bind: "127.0.0.1:0", {tls}}}]\nadmin: {{bind: "127.0.0.1:0"}}\n'
    text += 'routes: [{name: all, to: back}]\nservices: {back: {endpoints: ["http://127.0.0.1:1"]}}\n'
    return GatewayFile(tmp_path / "gateway.yaml", text)


def codes_in(source: str) -> Iterator[str]:
    """Yield the codes of errors that a module makes: of a class, by argument, or as a constant."""
    yield from re.findall(r'^\s*(?:code(?:: str)?|CODE) = "(\w+)"', source, re.M)
    yield from re.findall(r'\bcode="(\w+)"', source)


def test_every_code_of_an_error_is_told() -> None:
    folders = [ROOT / "core" / "meshwright" / name for name in ("http1", "traffic", "asgi", "net")]
    folders += [ROOT / "sdk" / "meshwright_sdk", ROOT / "plugins" / "meshwright_plugins"]
    made = {
        code
        for folder in folders
        for file in folder.rglob("*.py")
        if "testing" not in file.parts
        for code in codes_in(file.read_text("utf-8"))
    }
    told = re.findall(r"^\| (?:\d+|any) \| `(\w+)` \|", (DOCS / "operation.md").read_text("utf-8"), re.M)

    # A configuration that is wrong is answered by the admin API alone, and who was cut off by nobody.
    assert sorted(told) == sorted(made - {"configuration", "aborted"})


def example_uses(name: str, plugin: type[Any]) -> list[Any]:
    """Return the options of each use in the example of a plugin's docstring."""
    _, _, example = (inspect.getdoc(plugin) or "").partition("\nExample:\n")
    document: Any = read_document(inspect.cleandoc(example), "example.yaml", environ={}, folder=Path())
    return [use[name] for kind in ("filters", "policies") for use in document.get(kind) or () if name in use]


def metrics_of(name: str, plugin: type[Any]) -> Iterator[tuple[str, str, str, frozenset[str]]]:
    """Yield plugin, name, kind and labels of each metric that the uses in a plugin's example ask for."""
    context = Context(store=build(Memory))
    for options in [*example_uses(name, plugin), *({"cache": [{"shared": True}]}.get(name, []))]:
        build(plugin, context=context, **options)
    for family in context.metrics.families.values():
        for labels in family.metrics:
            yield name, family.name, family.kind, frozenset(label for label, _ in labels)


def test_the_metrics_on_the_page_are_those_of_the_plugins() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `(meshwright_\w+)` \| (\w+) \|(.*?)\|", (DOCS / "operation.md").read_text("utf-8"), re.M
    )
    told = {(plugin, name, kind, frozenset(re.findall(r"`(\w+)`", labels))) for plugin, name, kind, labels in rows}
    sources = "".join(file.read_text("utf-8") for file in REDIS.rglob("*.py"))

    assert {metric for metric in told if metric[0] != "redis"} == {
        metric
        for info in Registry.built_in().all()
        if info.kind in ("filter", "policy")
        for metric in metrics_of(info.name, info.target)
    }
    assert {name for plugin, name, *_ in told if plugin == "redis"} == set(
        re.findall('"(meshwright_store_.*?)"', sources)
    )


async def test_the_metrics_on_the_page_are_those_of_the_gateway(file: GatewayFile) -> None:
    rows = re.findall(
        r"^\| `((?:meshwright|process)_\w+)` \| (\w+) \| (.*?) \|", (DOCS / "operation.md").read_text("utf-8"), re.M
    )
    told = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}

    async with running_gateway(file, "--workers", "2") as gateway:
        page = (await gateway.get("/metrics")).text

    exposed = {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for family in text_string_to_metric_families(page)
    }
    assert told == exposed
