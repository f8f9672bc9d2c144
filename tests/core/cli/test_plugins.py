"""`meshwright plugins`, and the table of options it shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pydantic import Field

from meshwright.plugin_host.options_table import option_rows
from meshwright_sdk import Duration, Options, Size
from tests.core.cli.conftest import Call

STAMP = "from meshwright_sdk import filter\n@filter\nasync def stamp(request, call_next):\n    'Stamp it.'\n"


def test_the_list_has_every_kind_with_names_and_summaries(call: Call) -> None:
    result = call("plugins")

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert [line for line in lines if line and not line.startswith(" ")] == [
        *("Filters", "Routers", "Balancers", "Policies", "Discovery", "Stores", "Configuration sources"),
    ]
    assert any(line.startswith("  request_id ") and "Give each request an id" in line for line in lines)


def test_plugins_of_a_file_are_listed_with_where_they_come_from(call: Call, gateway: Path, folder: Path) -> None:
    (folder / "filters.py").write_text(STAMP, "utf-8")
    gateway.write_text("plugins: [./filters.py]\nroutes: wrong\n", "utf-8")

    lines = call("plugins", "--file", "gateway.yaml").stdout.splitlines()

    assert any(line.split() == ["stamp", "Stamp", "it.", "(./filters.py)"] for line in lines)


def test_a_plugin_that_cannot_be_imported_does_not_hide_the_others(call: Call, gateway: Path, folder: Path) -> None:
    (folder / "offer.py").write_text(
        "from meshwright_sdk import hookimpl\n@hookimpl\ndef meshwright_filters():\n"
        "    return {'lazy': 'acme_none:Lazy'}\n",
        "utf-8",
    )
    gateway.write_text("plugins: [./offer.py]\n", "utf-8")

    result = call("plugins", "--file", "gateway.yaml")

    assert result.exit_code == 0
    assert "to offer as filter 'lazy' a module acme_none in the installed packages; got no module" in result.stdout
    assert "  rewrite " in result.stdout


def test_one_plugin_is_told_with_its_options(call: Call) -> None:
    result = call("plugins", "request_id")

    assert result.stdout.startswith("filter request_id  (built in)\n  Give each request an id")
    assert "    header: text, default x-request-id\n        The header that carries the id" in result.stdout


def test_a_plugin_without_options_says_so(call: Call) -> None:
    assert call("plugins", "round_robin").stdout.endswith("  It takes no options.\n")


def test_an_unknown_name_is_wrong_usage_with_a_suggestion(call: Call) -> None:
    result = call("plugins", "hedders")

    assert result.exit_code == 2
    assert "there is no plugin 'hedders', did you mean \"headers\"?" in result.stderr


class Inner(Options):
    pattern: str = Field(description="What is looked for.", examples=["^a"])


class Outer(Options):
    wait: Duration = Field(Duration("1.5s"), description="How long.")
    most: Size | None = Field(None, description="How much.")
    tries: int = Field(3, ge=1, le=9, description="How often.")
    names: tuple[str, ...] = Field(("a",), description="Which.")
    regex: Inner | None = Field(None, description="By pattern.")
    rules: list[Inner] = Field([], description="By patterns.")
    by_name: dict[str, Inner] = Field({}, description="By name.")


def test_the_table_has_words_for_types_defaults_as_written_and_paths_of_inner_options() -> None:
    rows = {row.name: (row.type, row.default, row.example) for row in option_rows(Outer)}

    assert rows == {
        "wait": ("duration", "1.5s", ""),
        "most": ("size", "", "512B"),
        "tries": ("whole number from 1 to 9", "3", ""),
        "names": ("list of text", '["a"]', ""),
        "regex": ("mapping", "", ""),
        "regex.pattern": ("text", "required", "^a"),
        "rules": ("list of mapping", "[]", ""),
        "rules[].pattern": ("text", "required", "^a"),
        "by_name": ("mapping of mapping", "{}", ""),
        "by_name.NAME.pattern": ("text", "required", "^a"),
    }


def test_a_plugin_that_cannot_be_had_is_told_with_its_line_and_no_reference(call: Call, gateway: Path) -> None:
    gateway.write_text('plugins:\n  - "${KEY}"\n', "utf-8")

    result = call("plugins", "--file", "gateway.yaml", KEY="HIDDENVALUE")

    assert result.exit_code == 1
    assert result.stderr.startswith("gateway.yaml:2: plugins[0]: expected a module ${KEY} in ")
    assert "HIDDENVALUE" not in result.output


def test_who_reads_no_further_is_told_nothing() -> None:
    command = f"{sys.executable} -m meshwright plugins | head -1"

    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=True)

    assert (done.stdout, done.stderr) == ("Filters\n", "")
