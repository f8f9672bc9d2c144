"""Every plugin has the name of its file, and the examples in docstrings are right."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from meshwright.config import read_document
from meshwright.plugin_host.info import PluginInfo
from meshwright.plugin_host.registry import Registry
from meshwright_plugins.stores.memory import Memory
from meshwright_sdk.testing import build

FOLDERS = {"filter": "filters", "policy": "policies", "balancer": "balancers"}
PLUGINS = [info for info in Registry.built_in().all() if info.kind in FOLDERS]


@pytest.mark.parametrize("kind", FOLDERS)
def test_every_plugin_has_the_name_of_its_file_and_no_file_is_left_out(kind: str) -> None:
    package = import_module(f"meshwright_plugins.{FOLDERS[kind]}")
    files = {module.name for module in pkgutil.iter_modules(package.__path__)}

    assert {info.name for info in PLUGINS if info.kind == kind} == files
    assert {info.target.name for info in PLUGINS if info.kind == kind} == files


@pytest.mark.parametrize("info", [info for info in PLUGINS if info.kind != "balancer"], ids=lambda info: info.name)
def test_the_example_in_the_docstring_is_right(info: PluginInfo) -> None:
    _, mark, example = (inspect.getdoc(info.target) or "").partition("\nExample:\n")

    document: Any = read_document(inspect.cleandoc(example), "example.yaml", environ={}, folder=Path())
    uses = document.get(FOLDERS[info.kind]) if mark else []

    assert uses
    for use in uses:
        assert list(use) == [info.name]
        build(info.target, store=build(Memory), **use[info.name])
