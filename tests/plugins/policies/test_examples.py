from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import Any

import pytest
import yaml

import meshwright_plugins
import meshwright_plugins.policies
from meshwright_sdk import EndpointPolicy
from meshwright_sdk.testing import build

MODULES = [module.name for module in pkgutil.iter_modules(meshwright_plugins.policies.__path__)]


def policy_of(name: str) -> type[EndpointPolicy[Any]]:
    module, _, attribute = meshwright_plugins.meshwright_policies()[name].partition(":")
    found: type[EndpointPolicy[Any]] = getattr(import_module(module), attribute)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_the_name_in_the_yaml_is_the_files(name: str) -> None:
    assert policy_of(name).name == name


@pytest.mark.parametrize("name", MODULES)
def test_the_example_in_the_docstring_is_right(name: str) -> None:
    _, mark, example = (inspect.getdoc(policy_of(name)) or "").partition("\nExample:\n")

    uses = yaml.safe_load(inspect.cleandoc(example))["policies"] if mark else []

    assert uses
    for use in uses:
        assert list(use) == [name]
        build(policy_of(name), **use[name])


@pytest.mark.parametrize("name", MODULES)
def test_every_option_is_described(name: str) -> None:
    fields = policy_of(name).Options.model_fields

    assert [field for field, info in fields.items() if not info.description] == []
