"""The pages say what is so: their YAML loads, every key is told, the tutorial is the example, links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from meshwright.cli import main
from meshwright.config import GatewayConfig, read_document, validate
from meshwright.plugin_host.registry import Registry
from tests.certificates import write_authority, write_certificate

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [DOCS / name for name in ("configuration.md", "command-line.md", "writing-a-filter.md")]
CONFIGURATION = (DOCS / "configuration.md").read_text("utf-8")
EXAMPLE = ROOT / "examples" / "first_filter"


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield the model and every model below it."""
    yield model
    for field in model.model_fields.values():
        yield from (inner for each in below(field.annotation) for inner in models(each))


def below(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from below(argument)


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", CONFIGURATION, re.DOTALL))
def test_the_yaml_of_the_configuration_page_loads(block: str, tmp_path: Path) -> None:
    for stem in ("shop", "partners"):
        write_certificate(tmp_path, stem=stem)
    write_authority(tmp_path, "partners-ca.pem")

    validate(read_document(block, "page.yaml", environ={}, folder=tmp_path), Registry.load().options_of)


def test_every_key_is_told() -> None:
    keys = {key for model in models(GatewayConfig) for key in model.model_fields}
    told = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]*)`", CONFIGURATION))))

    assert {"listeners", "bind", "max_pending", "regex"} <= keys
    assert keys - told == set()


def test_every_command_and_option_is_told() -> None:
    page = (DOCS / "command-line.md").read_text("utf-8")

    for name, command in main.commands.items():
        assert f"`meshwright {name}" in page
        for parameter in command.params:
            assert all(option in page for option in parameter.opts if option.startswith("--"))


@pytest.mark.parametrize("name", ["filters/stamp.py", "filters/tenant.py", "tests/test_tenant.py", "gateway.yaml"])
def test_the_tutorial_is_the_example(name: str) -> None:
    assert (EXAMPLE / name).read_text("utf-8") in (DOCS / "writing-a-filter.md").read_text("utf-8")


@pytest.mark.parametrize("page", [*PAGES, *(DOCS / "plugins").rglob("*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []
