"""`meshwright schema`."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import yaml

from tests.core.cli.conftest import Call


def test_a_right_file_fits_the_schema_and_a_wrong_one_does_not(call: Call, gateway: Path) -> None:
    schema = json.loads(call("schema").stdout)
    validator = jsonschema.Draft202012Validator(schema)
    right = yaml.safe_load(gateway.read_text("utf-8"))

    assert list(validator.iter_errors(right)) == []
    assert not validator.is_valid({**right, "filters": [{"request_id": {"hedder": "x"}}]})


def test_plugins_that_a_file_names_are_part_of_it(call: Call, gateway: Path, folder: Path) -> None:
    (folder / "keyed.py").write_text(
        "from meshwright_sdk import Filter, Options\nclass KeyedOptions(Options):\n    key: str\n"
        "class Keyed(Filter[KeyedOptions]): ...\n",
        "utf-8",
    )
    gateway.write_text("plugins: [./keyed.py]\n", "utf-8")

    schema = json.loads(call("schema", "--file", "gateway.yaml").stdout)

    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"filters": [{"keyed": {"key": "x"}}]})
    assert not validator.is_valid({"filters": ["keyed"]})
