"""The reference pages that are committed are those that the plugins' own docstrings and options make."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshwright.plugin_host.info import PluginInfo
from meshwright.plugin_host.options_table import option_rows
from meshwright.plugin_host.reference import pages, write
from meshwright.plugin_host.registry import Registry

FOLDER = Path(__file__).parents[3] / "docs" / "plugins"


def test_the_committed_pages_are_up_to_date() -> None:
    committed = {str(file.relative_to(FOLDER)): file.read_text("utf-8") for file in FOLDER.rglob("*.md")}

    assert committed == pages(), "run `make docs`"


def test_every_built_in_plugin_has_a_page_with_all_its_options() -> None:
    made = pages()

    for info in Registry.load().all():
        (text,) = [text for path, text in made.items() if path.endswith(f"/{info.name}.md") and info.summary in text]
        for row in option_rows(info.options) if info.options else ():
            assert f"| `{row.name}` |" in text


@pytest.mark.parametrize("info", Registry.load().all(), ids=lambda info: f"{info.kind} {info.name}")
def test_every_option_of_a_built_in_plugin_is_described(info: PluginInfo) -> None:
    rows = list(option_rows(info.options)) if info.options else []

    assert [row.name for row in rows if not row.description] == []


def test_writing_replaces_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "filters").mkdir()
    (tmp_path / "filters" / "gone.md").write_text("old", "utf-8")

    write(tmp_path)

    assert not (tmp_path / "filters" / "gone.md").exists()
    assert (tmp_path / "filters" / "cors.md").is_file()
