"""What all commands share: help at once, failures in lines, colour where it is wanted, commands of packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.cli.conftest import Call

NAMES = ["run", "check", "explain", "plugins", "schema", "new", "demo"]


def test_help_lists_the_commands_in_the_order_of_use(call: Call) -> None:
    lines = call("--help").stdout.partition("Commands:")[2].splitlines()

    assert [line.split()[0] for line in lines[1:8]] == NAMES


@pytest.mark.parametrize("name", [*NAMES, "new filter"])
def test_the_help_of_every_command_has_an_example(call: Call, name: str) -> None:
    result = call(*name.split(), "--help")

    assert result.exit_code == 0
    assert f"meshwright {name}" in result.stdout.partition("Options:")[2]


def test_help_imports_nothing_that_takes_time() -> None:
    code = (
        "import sys; from meshwright.cli import main; main(['--help'], standalone_mode=False);"
        "sys.stderr.write(','.join({'asyncio', 'pydantic', 'meshwright_sdk', 'starlette', 'yaml'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr == ""


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "meshwright", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("meshwright, version ")


def test_wrong_usage_is_exit_code_2(call: Call) -> None:
    assert call("check", "nowhere.yaml").exit_code == 2
    assert call("chek").exit_code == 2


def test_every_problem_is_a_line_and_no_traceback(call: Call, gateway: Path) -> None:
    gateway.write_text("listenrs: []\nroutes: 3\n", "utf-8")

    result = call("check", "gateway.yaml")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[0].startswith("gateway.yaml:1: listenrs: expected ")
    assert result.stderr.splitlines()[1].startswith("gateway.yaml:2: routes: expected ")
    assert result.stderr.splitlines()[2] == "2 problems"


def test_colour_is_for_terminals_that_want_it(call: Call, gateway: Path) -> None:
    plain = call("check", "gateway.yaml")
    coloured = call("check", "gateway.yaml", color=True)
    refused = call("check", "gateway.yaml", color=True, NO_COLOR="1")

    assert "\x1b[" not in plain.stdout
    assert "\x1b[" in coloured.stdout
    assert "\x1b[" not in refused.stdout


def test_a_file_that_is_no_text_is_a_problem(call: Call, gateway: Path) -> None:
    gateway.write_bytes(b"routes: \xff")

    result = call("check", "gateway.yaml")

    assert (result.exit_code, result.stderr.splitlines()[0]) == (
        1,
        "gateway.yaml: expected text in UTF-8; got byte 0xff",
    )


def install(folder: Path, name: str, source: str) -> None:
    """Make a distribution with a plugin module of that name, as an installer would."""
    info = folder / "acme_cli-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-cli\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[meshwright.plugins]\nacme = {name}\n", "utf-8")
    (folder / f"{name}.py").write_text(source, "utf-8")


def test_a_package_brings_commands_of_its_own(call: Call, folder: Path) -> None:
    install(
        folder,
        "acme_greets",
        "import click\nfrom meshwright_sdk import hookimpl\n@click.command()\ndef greet():\n    'Greet.'\n"
        "    click.echo('hello')\n@hookimpl\ndef meshwright_commands():\n    return [greet]\n",
    )

    assert call("greet").stdout == "hello\n"
    assert "greet" in call("--help").stdout


def test_a_bug_is_one_line_or_the_whole_traceback(call: Call, folder: Path) -> None:
    install(
        folder,
        "acme_bug",
        "import click\nfrom meshwright_sdk import hookimpl\n@click.command()\ndef stumble():\n"
        "    raise RuntimeError('no')\n@hookimpl\ndef meshwright_commands():\n    return [stumble]\n",
    )

    result = call("stumble")
    traced = call("--traceback", "stumble")

    assert result.exit_code == 1
    assert result.stderr.startswith(f"a bug: RuntimeError: no ({folder}/acme_bug.py:5); ")
    assert len(result.stderr.splitlines()) == 1
    assert isinstance(traced.exception, RuntimeError)


def test_a_broken_package_is_told_of_and_help_still_works(call: Call, folder: Path) -> None:
    install(folder, "acme_breaks", "raise OSError('no disk')")

    result = call("--help")

    assert result.exit_code == 0
    assert "entry point acme (acme-cli 1.0): expected module acme_breaks to import" in result.stderr
    assert "explain" in result.stdout
