"""`meshwright new`: files to begin a plugin with, ready to run; they are the user's from then on."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template
from typing import Any

import click

FILTER = Template('''\
"""`$name`: say here in one sentence what it does."""

from __future__ import annotations

from meshwright_sdk import CallNext, Filter, Options, Request, Response
from pydantic import Field


class ${class_name}Options(Options):
    """The options, as the YAML gives them."""

    header: str = Field("x-$dashed", description="Header that is put on every response.")
    value: str = Field("1", description="Its value.")


class $class_name(Filter[${class_name}Options]):
    """Put a header on every response."""

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        """Change the request first, or answer without calling on, or change the response."""
        response = await call_next(request)
        response.headers[self.options.header] = self.options.value
        return response
''')

TEST = Template('''\
"""The tests of `filters/$name.py`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from meshwright_sdk.testing import FakeUpstream, build, import_file, make_request

$name = import_file(Path(__file__).parent.parent / "filters" / "$name.py")


def test_every_response_gets_the_header() -> None:
    upstream = FakeUpstream()
    the_filter = build($name.$class_name, value="hello")

    response = asyncio.run(the_filter(make_request(), upstream))

    assert response.headers["x-$dashed"] == "hello"
    assert len(upstream.requests) == 1
''')

PYTEST = """\
[pytest]
# pytest-asyncio, where it is installed, warns of having no such line; pytest warns of the line where it is not.
asyncio_default_fixture_loop_scope = function
filterwarnings =
    ignore:Unknown config option. asyncio_default_fixture_loop_scope:pytest.PytestConfigWarning
"""

CONFIGURED = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg")
"""Files in which pytest looks for its options, in the folder of the tests and above; the first one holds."""


class PluginName(click.ParamType[str]):
    """A plugin's name in the YAML, which is its file's name too."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", text) is None or keyword.iskeyword(text):
            self.fail(f"expected lower-case words with _ between, such as tenant_header; got {text!r}", param, ctx)
        return text


@click.group(
    epilog="""\b
    Example:
        meshwright new filter tenant_header
    """
)
def new() -> None:
    """Write the files of a new plugin, ready to run."""


@new.command(
    "filter",
    epilog="""\b
    Example:
        meshwright new filter tenant_header
        pytest tests/test_tenant_header.py
    """,
)
@click.argument("name", type=PluginName())
@click.option(
    "--dir", "folder", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where; here by default."
)
def new_filter(name: str, *, folder: Path) -> None:
    """Write filters/NAME.py and tests/test_NAME.py: a filter with an option, and its test.

    Where nothing configures pytest yet, pytest.ini is written too. Files that exist are not touched.
    """
    _refuse_known(name)
    words = {"name": name, "dashed": name.replace("_", "-"), "class_name": name.title().replace("_", "")}
    plugin, test = folder / "filters" / f"{name}.py", folder / "tests" / f"test_{name}.py"
    for file in (plugin, test):
        if file.exists():
            raise click.ClickException(f"{file}: expected a new file; got one that exists, which stays as it is")
    written = {plugin: FILTER.substitute(words), test: TEST.substitute(words)}
    if not _configures_pytest(folder):
        written[folder / "pytest.ini"] = PYTEST
    for file, text in written.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        click.echo(f"wrote {file}")
    click.echo(f"\nName it in the YAML, and use it:\n    plugins: [./filters/{name}.py]\n    filters: [{name}]")
    click.echo(f"\nRun its test:\n    pytest {test}")


def _configures_pytest(folder: Path) -> bool:
    """Return whether tests in the folder run with options of somebody's, which a new file would override."""
    here = folder.absolute()
    return any((above / name).exists() for above in (here, *here.parents) for name in CONFIGURED)


def _refuse_known(name: str) -> None:
    """Refuse the name of a filter that is built in or installed: two of one name cannot be used."""
    from meshwright.plugin_host.registry import Registry

    for info in Registry.load().all():
        if (info.kind, info.name) == ("filter", name):
            raise click.ClickException(f"name: expected one that no filter has; got {name!r}, which is {info.origin}")
