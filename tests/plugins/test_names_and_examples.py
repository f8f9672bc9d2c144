"""Every plugin has the name of its file, and the examples in docstrings are right."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

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


def needs_options(info: PluginInfo) -> bool:
    """Return whether its name alone is no use of it."""
    try:
        build(info.target)
    except ValidationError:
        return True
    return False


def example_of(info: PluginInfo, key: str) -> Any:
    """Return what the example in the docstring has under `key`; None without an example."""
    _, _, example = (inspect.getdoc(info.target) or "").partition("\nExample:\n")
    document: Any = read_document(inspect.cleandoc(example) or "{}", "example.yaml", environ={}, folder=Path())
    return document.get(key)


ONE_OF_A_KIND = [
    info
    for info in Registry.built_in().all()
    if info.kind in ("balancer", "discovery", "store") and needs_options(info)
]


@pytest.mark.parametrize("info", ONE_OF_A_KIND, ids=lambda info: info.name)
def test_what_is_nothing_without_options_has_an_example_that_is_right(info: PluginInfo) -> None:
    use = example_of(info, info.kind)

    assert list(use or ()) == [info.name]
    build(info.target, **use[info.name])


@pytest.mark.parametrize("info", [info for info in PLUGINS if info.kind != "balancer"], ids=lambda info: info.name)
def test_the_example_in_the_docstring_is_right(info: PluginInfo) -> None:
    uses = example_of(info, FOLDERS[info.kind])

    assert uses
    for use in uses:
        assert list(use) == [info.name]
        build(info.target, store=build(Memory), **use[info.name])
