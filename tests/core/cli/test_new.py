"""`meshwright new filter`: what it writes runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.cli.conftest import Call


@pytest.mark.parametrize("without", ["cacheprovider", "asyncio"])
def test_the_filter_and_its_test_are_ready_to_run(call: Call, gateway: Path, folder: Path, without: str) -> None:
    result = call("new", "filter", "tenant_header")
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", f"no:{without}", "tests/test_tenant_header.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.exit_code == 0
    assert "    plugins: [./filters/tenant_header.py]\n    filters: [tenant_header]\n" in result.stdout
    assert "1 passed in" in tested.stdout, tested.stdout
    assert "warning" not in (tested.stdout + tested.stderr).lower(), tested.stdout + tested.stderr


@pytest.mark.parametrize("configured", ["shop/pytest.ini", "shop/pyproject.toml", "setup.cfg"])
def test_how_pytest_is_configured_already_is_left_alone(call: Call, folder: Path, configured: str) -> None:
    (folder / "shop").mkdir()
    (folder / configured).write_text("", "utf-8")

    call("new", "filter", "stamp", "--dir", "shop")

    assert [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".py"] == [folder / configured]
    assert (folder / configured).read_text("utf-8") == ""


def test_the_lines_it_tells_are_all_the_yaml_needs(call: Call, gateway: Path) -> None:
    told = call("new", "filter", "stamp").stdout
    lines = [line.strip() for line in told.splitlines() if line.startswith("    ") and ": [" in line]
    gateway.write_text("\n".join([*lines, gateway.read_text("utf-8").replace("filters: [request_id]\n", "")]), "utf-8")

    result = call("explain", "gateway.yaml", "GET", "/orders/7")

    assert len(lines) == 2
    assert "  1. stamp  (every route)" in result.stdout


def test_strict_types_and_lint_are_content(call: Call, folder: Path) -> None:
    call("new", "filter", "stamp")

    for tool in (["ruff", "check", "--isolated"], ["mypy", "--strict", "--cache-dir=/dev/null"]):
        done = subprocess.run(
            [sys.executable, "-m", *tool, "filters", "tests"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_another_folder_can_be_named(call: Call, folder: Path) -> None:
    call("new", "filter", "stamp", "--dir", "shop")

    assert (folder / "shop/filters/stamp.py").is_file()
    assert (folder / "shop/tests/test_stamp.py").is_file()


@pytest.mark.parametrize("existing", ["filters/stamp.py", "tests/test_stamp.py"])
def test_what_exists_is_not_touched_and_nothing_is_half_written(call: Call, folder: Path, existing: str) -> None:
    (folder / existing).parent.mkdir()
    (folder / existing).write_text("mine", "utf-8")

    result = call("new", "filter", "stamp")

    assert result.exit_code == 1
    assert f"{existing}: expected a new file; got one that exists" in result.stderr
    assert [file for file in folder.rglob("*.py") if file.read_text("utf-8") != "mine"] == []


@pytest.mark.parametrize(("name", "code"), [("Stamp", 2), ("2fa", 2), ("a-b", 2), ("class", 2), ("cors", 1)])
def test_a_name_that_could_not_be_used_is_refused(call: Call, folder: Path, name: str, code: int) -> None:
    result = call("new", "filter", name)

    assert result.exit_code == code
    assert repr(name) in result.stderr
    assert list(folder.rglob("*.py")) == []
