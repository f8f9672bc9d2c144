from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import meshwright_plugins
import meshwright_plugins.filters
from meshwright.config import read_document
from meshwright_plugins.stores.memory import Memory
from meshwright_sdk import Filter
from meshwright_sdk.testing import build

MODULES = [module.name for module in pkgutil.iter_modules(meshwright_plugins.filters.__path__)]


def filter_of(name: str) -> type[Filter[Any]]:
    module, _, attribute = meshwright_plugins.meshwright_filters()[name].partition(":")
    found: type[Filter[Any]] = getattr(import_module(module), attribute)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_the_name_in_the_yaml_is_the_files(name: str) -> None:
    assert filter_of(name).name == name


@pytest.mark.parametrize("name", MODULES)
def test_the_example_in_the_docstring_is_right(name: str) -> None:
    _, mark, example = (inspect.getdoc(filter_of(name)) or "").partition("\nExample:\n")

    document = read_document(inspect.cleandoc(example), "example.yaml", environ={}, folder=Path())
    uses: Any = document.get("filters") if mark else []

    assert uses
    for use in uses:
        assert list(use) == [name]
        build(filter_of(name), store=build(Memory), **use[name])


@pytest.mark.parametrize("name", MODULES)
def test_every_option_is_described(name: str) -> None:
    fields = filter_of(name).Options.model_fields

    assert [field for field, info in fields.items() if not info.description] == []
