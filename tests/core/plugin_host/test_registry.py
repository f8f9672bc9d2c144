"""Plugins found three ways, and one clear problem for each way they can be wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from meshwright.config.plugin_use import UnknownPluginError
from meshwright.config.problems import Problem
from meshwright.plugin_host.registry import KINDS, Registry
from meshwright_sdk import ConfigError, Context, Options
from meshwright_sdk.testing import FakeUpstream, make_request

STAMP = """
    from meshwright_sdk import filter

    @filter
    async def stamp(request, call_next):
        "Put a stamp on it."
        response = await call_next(request)
        response.headers["x-stamp"] = "1"
        return response
    """

HOOKED = """
    from meshwright_sdk import Filter, Options, hookimpl
    from pydantic import Field

    class TenantOptions(Options):
        name: str = Field(description="Whose requests.")

    class Tenant(Filter[TenantOptions]):
        "Name the tenant."

    @hookimpl
    def meshwright_filters():
        return {"acme_tenant": Tenant}
    """

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, source: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(source), "utf-8")
        return file

    return write


@pytest.fixture(autouse=True)
def search_path_as_before() -> Iterator[None]:
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if name.startswith(("acme", "meshwright_file_")):
            del sys.modules[name]


def problems_of(*entries: str, base_dir: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Registry.load(entries, base_dir)
    return [str(problem) for problem in caught.value.problems]


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **entry_points: str) -> None:
    """Make a distribution `acme-filters 1.2` with these entry points findable, as an installer would."""
    info = tmp_path / "site" / "acme_filters-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-filters\nVersion: 1.2\n", "utf-8")
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[meshwright.plugins]", *lines]), "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def test_every_built_in_plugin_is_there_under_its_kind() -> None:
    registry = Registry.load()

    names = {(info.kind, info.name) for info in registry.all()}

    assert {("filter", "cors"), ("router", "table"), ("store", "memory"), ("config_source", "file")} <= names
    assert {info.origin for info in registry.all()} == {"built in"}
    assert {info.kind for info in registry.all()} == set(KINDS)


async def test_a_decorated_function_in_a_named_file_is_a_filter(write: Write, tmp_path: Path) -> None:
    write("filters.py", STAMP)

    registry = Registry.load(["./filters.py"], tmp_path)
    stamp = registry.build("filter", "stamp", None, Context())
    response = await stamp(make_request(), FakeUpstream())

    assert response.headers["x-stamp"] == "1"
    assert registry.options_of("filter", "stamp") is None
    assert registry.find("filter", "stamp").origin == "./filters.py"
    assert registry.find("filter", "stamp").summary == "Put a stamp on it."
    assert registry.files == {tmp_path / "filters.py"}


def test_a_class_in_a_named_file_is_a_plugin_of_its_base_classs_kind(write: Write, tmp_path: Path) -> None:
    write(
        "plugins.py",
        """
        from abc import ABC
        from meshwright_sdk import Balancer, Filter, NoOptions, Store

        class First(Balancer[NoOptions]):
            def pick(self, endpoints, request):
                return endpoints[0]

        class Base(Filter[NoOptions], ABC): ...
        class _Hidden(Filter[NoOptions]): ...
        class SlowDown(Base): ...
        class Renamed(Filter[NoOptions]):
            name = "tenant"
        """,
    )

    registry = Registry.load(["plugins.py"], tmp_path)
    own = {(info.kind, info.name) for info in registry.all() if info.origin == "plugins.py"}

    assert own == {("balancer", "first"), ("filter", "slow_down"), ("filter", "tenant")}


def test_a_named_module_is_found_in_the_folder_of_the_yaml(write: Write, tmp_path: Path) -> None:
    write("acme_here/__init__.py", "")
    write("acme_here/tenant.py", HOOKED)

    registry = Registry.load(["acme_here.tenant"], tmp_path)
    options = registry.options_of("filter", "acme_tenant")

    assert options is not None
    assert (
        registry.build("filter", "acme_tenant", options.model_validate({"name": "acme"}), Context()).options.name
        == "acme"
    )
    assert registry.files == frozenset()


def test_an_installed_package_is_found_by_its_entry_point(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("site/acme_installed.py", HOOKED)
    install(tmp_path, monkeypatch, acme="acme_installed")

    registry = Registry.load()

    assert registry.find("filter", "acme_tenant").origin == "acme-filters 1.2"


def test_an_entry_point_may_name_a_plugin_itself(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("site/acme_single.py", STAMP)
    install(tmp_path, monkeypatch, acme="acme_single:stamp")

    assert Registry.load().find("filter", "stamp").origin == "acme-filters 1.2"


def test_a_package_that_is_installed_and_named_is_registered_once(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("site/acme_twice.py", HOOKED)
    install(tmp_path, monkeypatch, acme="acme_twice")

    registry = Registry.load(["acme_twice"], tmp_path)

    assert registry.find("filter", "acme_tenant").origin == "acme-filters 1.2"


def test_hooks_of_a_kind_are_asked_in_place_of_looking_for_classes(write: Write, tmp_path: Path) -> None:
    write("filters.py", HOOKED)

    registry = Registry.load(["filters.py"], tmp_path)

    assert [info.name for info in registry.all() if info.origin == "filters.py"] == ["acme_tenant"]


def test_a_string_is_imported_when_it_is_first_used(write: Write, tmp_path: Path) -> None:
    write("acme_lazy.py", "from meshwright_sdk import Filter\nclass Lazy(Filter): 'Late.'")
    write(
        "offer.py",
        """
        from meshwright_sdk import hookimpl

        @hookimpl
        def meshwright_filters():
            return {"lazy": "acme_lazy:Lazy"}
        """,
    )

    registry = Registry.load(["offer.py"], tmp_path)
    loaded_before = "acme_lazy" in sys.modules

    assert not loaded_before
    assert registry.find("filter", "lazy").summary == "Late."


def test_a_file_is_imported_anew_only_when_its_content_has_changed(write: Write, tmp_path: Path) -> None:
    write("filters.py", STAMP)
    first = Registry.load(["filters.py"], tmp_path).find("filter", "stamp").target
    again = Registry.load(["filters.py"], tmp_path).find("filter", "stamp").target
    write("filters.py", STAMP.replace("x-stamp", "x-other"))
    changed = Registry.load(["filters.py"], tmp_path).find("filter", "stamp").target

    assert again is first
    assert changed is not first
    assert "x-other" in changed.__code__.co_consts


def test_a_file_that_keeps_changing_takes_a_bounded_number_of_modules(write: Write, tmp_path: Path) -> None:
    before = set(sys.modules)
    for version in range(20):
        write("filters.py", f"{dedent(STAMP)}\nVERSION = {version}")
        Registry.load(["filters.py"], tmp_path)

    assert len([name for name in set(sys.modules) - before if "filters" in name]) == 8


def test_each_gives_the_answers_of_a_hook_by_package(write: Write, tmp_path: Path) -> None:
    write("extra.py", "from meshwright_sdk import hookimpl\n@hookimpl\ndef meshwright_commands():\n    return ['x']")

    assert list(Registry.load(["./extra.py"], tmp_path).each("meshwright_commands")) == [("extra", ["x"])]


def test_an_unknown_name_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(UnknownPluginError, match="there is no balancer 'randon'") as caught:
        Registry.load().find("balancer", "randon")

    assert {"random", "round_robin"} <= set(caught.value.known)


IMPORTS_NOTHING = {
    "missing file": ("./filter.py", "", "expected a Python file at {dir}/filter.py; got No such file or directory"),
    "null byte": ("./a\0b.py", "", "expected a path to a Python file; got './a\\x00b.py': embedded null byte"),
    "missing module": (
        "acme.nope",
        "",
        "expected a module acme.nope in {dir} and the installed packages; got no module",
    ),
    "raises": (
        "wrong.py",
        "def setup():\n    raise KeyError('x')\nsetup()",
        "expected wrong.py to import; got KeyError: 'x' ({dir}/wrong.py:2 in setup, {dir}/wrong.py:3)",
    ),
    "exits": (
        "wrong.py",
        "import sys\nsys.exit(3)",
        "expected wrong.py to import; got SystemExit: 3 ({dir}/wrong.py:2)",
    ),
    "is interrupted": (
        "wrong.py",
        "raise KeyboardInterrupt",
        "expected wrong.py to import; got KeyboardInterrupt ({dir}/wrong.py:1)",
    ),
    "raises what is no exception": (
        "acme_wrong",
        "class Odd(BaseException): pass\nraise Odd('x')",
        "expected module acme_wrong to import; got Odd: x ({dir}/acme_wrong.py:2)",
    ),
    "syntax": ("wrong.py", "def (", "expected wrong.py to import; got SyntaxError: invalid syntax ({dir}/wrong.py:1)"),
    "missing import": ("wrong.py", "import acme_no", "No module named 'acme_no' ({dir}/wrong.py:1)"),
    "module missing import": ("acme_wrong", "import acme_no", "expected module acme_wrong to import; got ModuleNotFo"),
    "nothing in it": ("wrong.py", "x = 1", "wrong.py to offer a @filter function, a plugin class or a @hookimpl; got"),
}


@pytest.mark.parametrize(("entry", "source", "message"), IMPORTS_NOTHING.values(), ids=IMPORTS_NOTHING)
def test_what_cannot_be_imported_is_one_problem_with_the_authors_lines(
    write: Write, tmp_path: Path, entry: str, source: str, message: str
) -> None:
    if source:
        write(f"{entry.removesuffix('.py')}.py", source)

    problems = problems_of(entry, base_dir=tmp_path)

    assert len(problems) == 1
    assert problems[0].startswith("plugins[0]: ")
    assert message.format(dir=tmp_path) in problems[0]


HOOK = "from meshwright_sdk import Balancer, Filter, NoOptions, hookimpl\n@hookimpl\ndef meshwright_"
WRONG_HOOKS = {
    "unknown hook": (
        f"{HOOK}filter(): return {{}}",
        "a hook that exists; got meshwright_filter (",
        "meshwright_filters",
    ),
    "wrong argument": (f"{HOOK}filters(app): return {{}}", "meshwright_filters", "Argument(s) {'app'} are declared"),
    "no mark": (
        "def meshwright_filters(): return {}",
        "to offer meshwright_filters marked with @hookimpl",
        "wrong.py:1",
    ),
    "hook raises": (f"{HOOK}filters(): return 1 / 0", "a mapping of names to plugins in meshwright_filters", "Zero"),
    "no mapping": (f"{HOOK}filters(): return ['x']", "a mapping of names to plugins in meshwright_filters", "['x']"),
    "wrong kind": (
        f"{HOOK}filters(): return {{'x': Balancer}}",
        "to offer as filter 'x' a class derived from Filter",
        "",
    ),
    "sync function": (f"{HOOK}filters(): return {{'x': lambda a, b: b(a)}}", "derived from Filter or an async f", ""),
    "function balancer": (f"{HOOK}balancers(): return {{'x': print}}", "a class derived from Balancer; got", ""),
    "odd reference": (f"{HOOK}filters(): return {{'x': 'acme.x'}}", "a reference such as package.module:Name", ""),
    "abstract": (f"{HOOK}stores(): return {{}}\nclass First(Balancer[NoOptions]): ...", "First to define pick", ""),
}


@pytest.mark.parametrize(("source", "message", "cause"), WRONG_HOOKS.values(), ids=WRONG_HOOKS)
def test_a_wrong_hook_is_one_problem_that_names_plugin_hook_and_cause(
    write: Write, tmp_path: Path, source: str, message: str, cause: str
) -> None:
    write("wrong.py", source)

    problems = problems_of("wrong.py", base_dir=tmp_path)

    assert len(problems) == 1
    assert problems[0].startswith("plugins[0]: ")
    assert "wrong.py" in problems[0]
    assert message in problems[0]
    assert cause in problems[0]


def test_options_that_would_take_unknown_keys_are_refused(write: Write, tmp_path: Path) -> None:
    write(
        "loose.py",
        """
        from meshwright_sdk import Filter
        from pydantic import BaseModel

        class Loose(Filter):
            class Options(BaseModel): ...
        """,
    )

    (problem,) = problems_of("loose.py", base_dir=tmp_path)

    assert "options derived from meshwright_sdk.Options in Loose" in problem


def test_two_plugins_of_one_kind_and_name_are_a_problem(write: Write, tmp_path: Path) -> None:
    write("one.py", STAMP)
    write("two.py", STAMP)
    write("three.py", STAMP.replace("def stamp", "def cors"))

    problems = problems_of("one.py", "two.py", "three.py", base_dir=tmp_path)

    assert problems == [
        "plugins[1]: expected two.py to offer names that are free; got filter 'stamp', which one.py has",
        "plugins[2]: expected three.py to offer names that are free; got filter 'cors', which is built in",
    ]


def test_every_problem_is_found_in_one_run(write: Write, tmp_path: Path) -> None:
    write("fine.py", STAMP)
    write("raises.py", "raise OSError('no disk')")

    problems = problems_of("fine.py", "./nowhere.py", "raises.py", "acme.none", base_dir=tmp_path)

    assert [problem.partition(":")[0] for problem in problems] == ["plugins[1]", "plugins[2]", "plugins[3]"]


def test_a_failed_load_leaves_nothing_behind(write: Write, tmp_path: Path) -> None:
    write("fine.py", STAMP)
    write("acme_pkg/__init__.py", "")
    write("acme_pkg/part.py", HOOKED)
    write("raises.py", "import acme_pkg.part\nraise OSError('no disk')")
    modules, path = set(sys.modules), list(sys.path)

    problems_of("fine.py", "acme_pkg.part", "raises.py", base_dir=tmp_path)

    assert sys.path == path
    assert {name for name in set(sys.modules) - modules if name.startswith(("acme", "meshwright_file_"))} == set()


def test_a_mended_package_loads_after_it_failed(write: Write, tmp_path: Path) -> None:
    write("acme_mended/__init__.py", "")
    write("acme_mended/tenant.py", "import acme_no")
    problems_of("acme_mended.tenant", base_dir=tmp_path)
    write("acme_mended/tenant.py", HOOKED)

    registry = Registry.load(["acme_mended.tenant"], tmp_path)

    assert registry.find("filter", "acme_tenant").origin == "acme_mended.tenant"


def test_a_failed_load_keeps_the_module_of_an_unchanged_file(write: Write, tmp_path: Path) -> None:
    write("filters.py", STAMP)
    first = Registry.load(["filters.py"], tmp_path).find("filter", "stamp").target
    problems_of("filters.py", "./nowhere.py", base_dir=tmp_path)

    assert Registry.load(["filters.py"], tmp_path).find("filter", "stamp").target is first


def test_a_broken_installed_package_is_named_with_its_entry_point(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("site/acme_broken.py", "raise OSError('no disk')")
    install(tmp_path, monkeypatch, acme="acme_broken")

    (problem,) = problems_of(base_dir=tmp_path)

    assert problem.startswith("entry point acme (acme-filters 1.2): expected module acme_broken to import; got OSError")


@pytest.mark.parametrize("reference", ["acme_nowhere:Lazy", "acme_here_but:Lazi", "acme_here_but:NotAFilter"])
def test_a_string_that_cannot_be_had_is_a_problem_when_it_is_used(write: Write, tmp_path: Path, reference: str) -> None:
    write("acme_here_but.py", "class Lazy: ...\nclass NotAFilter: ...")
    write(
        "offer.py",
        f"""
        from meshwright_sdk import hookimpl

        @hookimpl
        def meshwright_filters():
            return {{"lazy": "{reference}"}}
        """,
    )
    registry = Registry.load(["offer.py"], tmp_path)

    with pytest.raises(ConfigError, match=r"plugins\[0\]: expected offer.py to offer as filter 'lazy' .*; got"):
        registry.options_of("filter", "lazy")


@pytest.mark.parametrize("place", ["routes[2].filters[0]", "routes[2].filters[0].narrow"])
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "raise ValueError('low: expected less than high; got 3')",
            "routes[2].filters[0].narrow.low: expected less than high; got 3",
        ),
        ("raise ValueError('expected a; got b')", "routes[2].filters[0].narrow: expected a; got b"),
        ("raise ValueError('low is high')", "expected options that filter narrow accepts; got low is high"),
        ("{}['x']", "got an error in its code: KeyError: 'x' ({dir}/narrow.py:6 in __init__)"),
    ],
)
def test_a_constructor_that_raises_is_a_problem_at_its_place(
    write: Write, tmp_path: Path, statement: str, message: str, place: str
) -> None:
    write(
        "narrow.py",
        f"""
        from meshwright_sdk import Filter, NoOptions
        class Narrow(Filter[NoOptions]):
            def __init__(self, options, context):
                super().__init__(options, context)
                {statement}
        """,
    )
    registry = Registry.load(["narrow.py"], tmp_path)

    with pytest.raises(ConfigError) as caught:
        registry.build("filter", "narrow", None, Context(place=place))

    (problem,) = caught.value.problems
    assert isinstance(problem, Problem)
    assert problem.path[:4] == ("routes", 2, "filters", 0)
    assert message.format(dir=tmp_path) in str(problem)


def test_options_of_gives_the_model(write: Write, tmp_path: Path) -> None:
    write("filters.py", HOOKED)

    model = Registry.load(["filters.py"], tmp_path).options_of("filter", "acme_tenant")

    assert model is not None
    assert issubclass(model, Options)
    assert isinstance(model.model_json_schema(), Mapping)


def test_a_hook_that_raises_keeps_no_other_package_from_being_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hook = "from meshwright_sdk import hookimpl\n@hookimpl\ndef meshwright_started():\n    "
    for name in ("first", "last"):
        (tmp_path / f"{name}.py").write_text(f"{hook}open({str(tmp_path / name)!r} + '.told', 'w').close()\n")
    (tmp_path / "broken.py").write_text(f"{hook}raise KeyError('mine')\n")
    registry = Registry.load(["./first.py", "./broken.py", "./last.py"], tmp_path)

    registry.tell("meshwright_started")

    assert sorted(path.stem for path in tmp_path.glob("*.told")) == ["first", "last"]
    assert "its hook meshwright_started raised" in caplog.text
