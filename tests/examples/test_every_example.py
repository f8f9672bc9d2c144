"""What holds for every YAML that is shipped: it checks, it fits the schema, its README names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

import meshwright.demo
from tests.examples.conftest import EXAMPLES, checked, schema_of

FILES = sorted(EXAMPLES.rglob("gateway.yaml"))
DEMO = Path(meshwright.demo.__file__).with_name("gateway.yaml")
DEMO_NAMES = ("WEB_PORT", "ADMIN_PORT", "ORDER_URL", "PAYMENT_1_URL", "PAYMENT_2_URL", "LOGISTICS_URL")


@pytest.fixture(autouse=True)
def environment_of_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(DEMO_NAMES):
        monkeypatch.setenv(name, "0" if name.endswith("PORT") else f"http://127.0.0.1:{8001 + number}")


@pytest.mark.parametrize("file", [*FILES, DEMO], ids=lambda file: file.parent.name)
def test_it_checks(file: Path) -> None:
    assert checked(file).startswith("ok: ")


@pytest.mark.parametrize("file", [*FILES, DEMO], ids=lambda file: file.parent.name)
def test_it_fits_the_schema(file: Path) -> None:
    validator = jsonschema.Draft202012Validator(schema_of(file))

    assert [error.message for error in validator.iter_errors(yaml.safe_load(file.read_text("utf-8")))] == []


@pytest.mark.parametrize("folder", sorted({*EXAMPLES.iterdir()}), ids=lambda folder: folder.name)
def test_its_readme_names_what_there_is(folder: Path) -> None:
    text = (folder / "README.md").read_text("utf-8")
    named = re.findall(r"`([\w/]+(?:\.py|\.yaml|/))`", text) + re.findall(r"\]\(([^)#]+)\)", text)

    assert [name for name in named if not (folder / name).exists()] == []
